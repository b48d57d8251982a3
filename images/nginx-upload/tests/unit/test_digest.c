
/*
 * The digests: known answers, in one piece and in many, and a state that is
 * carried on from its text.
 */


#include "unit.h"
#include "upload_digest.h"


#define ALL    ((1 << UPLOAD_DIGEST_KINDS) - 1)

#define SIZE   100000
#define SPLIT  300


typedef struct {
    const char  *data;
    size_t       repeat;
    const char  *hex[UPLOAD_DIGEST_KINDS];
} answer_t;


static const answer_t  answers[] = {
    { "", 0,
      { "00000000",
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e" } },
    { "abc", 1,
      { "352441c2",
        "900150983cd24fb0d6963f7d28e17f72",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" } },
    /* a CRC-32 that begins with zeros */
    { "a845741", 1,
      { "00000be2",
        "8db905cb55dd7ce762162bd2760e05f3",
        "1830415819b1cd78e2b7fdcdb63b47f6ca085f91",
        "d435dc0a2c03a9c4b2ffcef2b5f7886512e9542bbb0b9331588d6210a9398c35",
        "004e939d7e8a98412616a82156e9c707f77792e5f9a14b0c361d9b2599a76061"
        "16f8355e9549868bf1c598ee810b7ced14e76e21e23f9eadb30c9ff3b42cc67f" } },
    { "a", 1000000,
      { "dc25bfbc",
        "7707d6ae4e027c70eea2a935c2296f21",
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
        "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b" } }
};


static void
expect(const upload_digest_t *digest, upload_digest_kind_e kind,
    const char *hex)
{
    size_t         len;
    unsigned char  out[UPLOAD_DIGEST_HEX_MAX];

    len = upload_digest_hex(digest, kind, out);
    check(len == strlen(hex));
    check(memcmp(out, hex, len) == 0);
}


static void
expect_same(const upload_digest_t *one, const upload_digest_t *two)
{
    size_t                len;
    unsigned char         a[UPLOAD_DIGEST_HEX_MAX], b[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_kind_e  kind;

    check(one->kinds == two->kinds);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        len = upload_digest_hex(one, kind, a);
        check(upload_digest_hex(two, kind, b) == len);
        check(memcmp(a, b, len) == 0);
    }
}


static void
test_answer(const answer_t *answer)
{
    char                  *data;
    size_t                 i, n, len;
    unsigned char          out[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t        digest;
    upload_digest_kind_e   kind, other;

    n = strlen(answer->data);
    len = n * answer->repeat;
    data = malloc(len + 1);

    for (i = 0; i < answer->repeat; i++) {
        memcpy(data + i * n, answer->data, n);
    }

    upload_digest_init(&digest, ALL);
    upload_digest_update(&digest, data, len);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        expect(&digest, kind, answer->hex[kind]);
    }

    /* one kind alone */

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        upload_digest_init(&digest, 1 << kind);
        upload_digest_update(&digest, data, len);

        for (other = 0; other < UPLOAD_DIGEST_KINDS; other++) {

            if (other == kind) {
                expect(&digest, kind, answer->hex[kind]);

            } else {
                check(upload_digest_hex(&digest, other, out) == 0);
            }
        }
    }

    free(data);
}


static void
test_pieces(const unsigned char *data, size_t len, size_t piece)
{
    size_t           pos, n;
    unsigned char    out[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t  whole, digest;

    upload_digest_init(&whole, ALL);
    upload_digest_update(&whole, data, len);
    upload_digest_init(&digest, ALL);

    for (pos = 0; pos < len; pos += n) {
        n = piece ? piece : (size_t) rand() % 40000;
        n = len - pos < n ? len - pos : n;
        upload_digest_update(&digest, data + pos, n);

        /* to look at it changes nothing */
        (void) upload_digest_hex(&digest, pos % UPLOAD_DIGEST_KINDS, out);
    }

    expect_same(&whole, &digest);
}


static void
test_state(const unsigned char *data, size_t len, unsigned kinds)
{
    char             text[UPLOAD_DIGEST_TEXT_MAX], *exact;
    size_t           pos, n;
    upload_digest_t  whole, digest, restored;

    upload_digest_init(&whole, kinds);
    upload_digest_update(&whole, data, len);

    for (pos = 0; pos <= SPLIT; pos++) {
        upload_digest_init(&digest, kinds);
        upload_digest_update(&digest, data, pos);

        n = upload_digest_export(&digest, text, sizeof(text));
        check(n > 0 || kinds == 0);

        /* a buffer of just that size, so that each byte behind it counts */
        exact = malloc(n ? n : 1);
        check(upload_digest_export(&digest, exact, n) == n);
        check(memcmp(exact, text, n) == 0);
        free(exact);

        memset(&restored, 0xff, sizeof(upload_digest_t));
        check(upload_digest_import(&restored, text, n, pos) == 0);
        expect_same(&digest, &restored);

        upload_digest_update(&restored, data + pos, len - pos);
        expect_same(&whole, &restored);
    }
}


static void
test_size(const unsigned char *data)
{
    char             text[UPLOAD_DIGEST_TEXT_MAX];
    size_t           size;
    upload_digest_t  digest;

    upload_digest_init(&digest, ALL);
    upload_digest_update(&digest, data, 127);

    check(upload_digest_export(&digest, text, sizeof(text)) == sizeof(text));

    for (size = 0; size < sizeof(text); size++) {
        check(upload_digest_export(&digest, text, size) == 0);
    }
}


/* the text is documented: other programs may read it */

static void
test_text(void)
{
    char             text[UPLOAD_DIGEST_TEXT_MAX];
    size_t           len;
    const char      *expected;
    upload_digest_t  digest;

    expected = "crc32 352441c2\n"
               "md5 67452301efcdab8998badcfe10325476616263\n"
               "sha1 67452301efcdab8998badcfe10325476c3d2e1f0616263\n"
               "sha256 6a09e667bb67ae853c6ef372a54ff53a"
               "510e527f9b05688c1f83d9ab5be0cd19616263\n"
               "sha512 6a09e667f3bcc908bb67ae8584caa73b"
               "3c6ef372fe94f82ba54ff53a5f1d36f1"
               "510e527fade682d19b05688c2b3e6c1f"
               "1f83d9abfb41bd6b5be0cd19137e2179616263\n";

    upload_digest_init(&digest, ALL);
    upload_digest_update(&digest, "abc", 3);

    len = upload_digest_export(&digest, text, sizeof(text));
    check(len == strlen(expected));
    check(memcmp(text, expected, len) == 0);
}


/* OpenSSL carries the number of bits on by itself: the import must agree */

static void
test_count(unsigned long long taken)
{
    char                   text[UPLOAD_DIGEST_TEXT_MAX];
    size_t                 len, i;
    upload_digest_t        digest, restored;
    upload_digest_kind_e   kind;
    static const char     *names[] = { "crc32", "md5", "sha1", "sha256",
                                       "sha512" };
    static const size_t    words[] = { 4, 16, 20, 32, 64 };
    static const size_t    blocks[] = { 1, 64, 64, 64, 128 };

    /* some state with as many bytes in its block */

    len = 0;

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {
        len += sprintf(text + len, "%s ", names[kind]);

        for (i = 0; i < words[kind] + taken % blocks[kind]; i++) {
            len += sprintf(text + len, "%02x", (unsigned) rand() % 256);
        }

        text[len++] = '\n';
    }

    check(upload_digest_import(&digest, text, len, taken) == 0);
    upload_digest_update(&digest, "0123456789", 10);

    len = upload_digest_export(&digest, text, sizeof(text));
    check(upload_digest_import(&restored, text, len, taken + 10) == 0);
    expect_same(&digest, &restored);
}


static void
refuse(const char *text, size_t len, unsigned long long taken)
{
    char             *exact;
    upload_digest_t   digest;

    exact = malloc(len);
    memcpy(exact, text, len);

    upload_digest_init(&digest, 1 << UPLOAD_DIGEST_MD5);
    check(upload_digest_import(&digest, exact, len, taken) == -1);

    /* unchanged */
    check(digest.kinds == 1 << UPLOAD_DIGEST_MD5);
    expect(&digest, UPLOAD_DIGEST_MD5, answers[0].hex[UPLOAD_DIGEST_MD5]);

    free(exact);
}


static void
test_malformed(const unsigned char *data)
{
    char             text[UPLOAD_DIGEST_TEXT_MAX], copy[2 * sizeof(text)];
    size_t           i, len;
    unsigned         taken, other;
    upload_digest_t  digest;

    taken = 70;
    upload_digest_init(&digest, ALL);
    upload_digest_update(&digest, data, taken);
    len = upload_digest_export(&digest, text, sizeof(text));

    /* cut anywhere but at the end of a line */

    for (i = 1; i < len; i++) {

        if (text[i - 1] == '\n') {
            check(upload_digest_import(&digest, text, i, taken) == 0);

        } else {
            refuse(text, i, taken);
        }
    }

    for (i = 0; i < len; i++) {
        memcpy(copy, text, len);
        copy[i] ^= 0x80;
        refuse(copy, len, taken);
        copy[i] = 'A';
        refuse(copy, len, taken);
        copy[i] = '\0';
        refuse(copy, len, taken);

        copy[i] = '0';
        memcpy(copy + i + 1, text + i, len - i);
        refuse(copy, len + 1, taken);
        copy[i] = '\n';
        refuse(copy, len + 1, taken);
    }

    for (other = 0; other < 300; other++) {

        if (other % 128 != taken) {
            refuse(text, len, other);
        }
    }

    refuse("\n", 1, 0);
    refuse("crc32 \n", 7, 0);
    refuse("crc32 00000000", 14, 0);
    refuse("crc32 0000000\n", 14, 0);
    refuse("crc32 000000000\n", 16, 0);
    refuse("crc32 0000000g\n", 15, 0);
    refuse("crc32 0000000`\n", 15, 0);
    refuse("crc32 0000000:\n", 15, 0);
    refuse("crc32 0000000/\n", 15, 0);
    refuse("crc32  00000000\n", 16, 0);
    refuse("CRC32 00000000\n", 15, 0);
    refuse("crc64 00000000\n", 15, 0);
    refuse("crc32 00000000\r\n", 16, 0);
    refuse("crc32 00000000\n\n", 16, 0);
    refuse(" crc32 00000000\n", 16, 0);
    refuse("crc32 00000000\ncrc32 00000000\n", 30, 0);

    /* another order */
    refuse("md5 67452301efcdab8998badcfe10325476\ncrc32 00000000\n", 52, 0);
}


int
main(void)
{
    size_t          i;
    unsigned        kinds;
    unsigned char  *data;

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        test_answer(&answers[i]);
    }

    srand(1);
    data = malloc(SIZE);

    for (i = 0; i < SIZE; i++) {
        data[i] = (unsigned char) rand();
    }

    for (i = 1; i < 300; i++) {
        test_pieces(data, 1000, i);
    }

    for (i = 0; i < 100; i++) {
        test_pieces(data, SIZE, 0);
    }

    for (kinds = 0; kinds <= ALL; kinds++) {
        test_state(data, 1000, kinds);
    }

    test_size(data);
    test_text();

    for (i = 0; i < 20; i++) {
        test_count((1ull << 29) - i);
        test_count((1ull << 32) - i);
        test_count((1ull << 61) - i);
        test_count(5000000000ull + i * 13);
    }

    test_malformed(data);

    free(data);
    printf("ok\n");

    return 0;
}
