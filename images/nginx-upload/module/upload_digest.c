
/*
 * Digests of a file that is being received, see upload_digest.h.
 *
 * OpenSSL's low-level functions are deprecated in favour of EVP, but the
 * state of an EVP context cannot be saved.
 */


#define OPENSSL_SUPPRESS_DEPRECATED
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "upload_digest.h"


/* so much stays in the cache of a core while each kind looks at it */
#define UPLOAD_DIGEST_PIECE  16384

#define UPLOAD_DIGEST_WORDS  8


typedef struct {
    const char  *name;
    size_t       words;         /* of the chaining value */
    size_t       word_size;
    size_t       block;
} upload_digest_format_t;


/* without its bit counts, which follow from the number of bytes taken */

typedef struct {
    uint64_t        words[UPLOAD_DIGEST_WORDS];
    unsigned char   block[SHA512_CBLOCK];
    size_t          len;
} upload_digest_state_t;


static void upload_digest_final(const upload_digest_t *digest,
    upload_digest_kind_e kind, unsigned char *md);
static void upload_digest_save(const upload_digest_t *digest,
    upload_digest_kind_e kind, upload_digest_state_t *state);
static void upload_digest_restore(upload_digest_t *digest,
    upload_digest_kind_e kind, const upload_digest_state_t *state,
    uint64_t taken);
static void upload_digest_pack(unsigned char *bytes, uint64_t word,
    size_t size);
static uint64_t upload_digest_unpack(const unsigned char *bytes, size_t size);
static void *upload_digest_encode(void *hex, const unsigned char *bytes,
    size_t len);
static int upload_digest_decode(unsigned char *bytes, const char *hex,
    size_t len);


static const upload_digest_format_t  upload_digest_formats[] = {
    { "crc32 ", 1, 4, 1 },
    { "md5 ", 4, 4, MD5_CBLOCK },
    { "sha1 ", 5, 4, SHA_CBLOCK },
    { "sha256 ", 8, 4, SHA256_CBLOCK },
    { "sha512 ", 8, 8, SHA512_CBLOCK }
};


void
upload_digest_init(upload_digest_t *digest, unsigned kinds)
{
    memset(digest, 0, sizeof(upload_digest_t));

    digest->kinds = kinds;
    digest->crc32 = crc32(0, NULL, 0);

    (void) MD5_Init(&digest->md5);
    (void) SHA1_Init(&digest->sha1);
    (void) SHA256_Init(&digest->sha256);
    (void) SHA512_Init(&digest->sha512);
}


void
upload_digest_update(upload_digest_t *digest, const void *data, size_t len)
{
    size_t                n;
    const unsigned char  *p;

    p = data;

    while (len) {
        n = len < UPLOAD_DIGEST_PIECE ? len : UPLOAD_DIGEST_PIECE;

        if (digest->kinds & 1 << UPLOAD_DIGEST_CRC32) {
            digest->crc32 = crc32(digest->crc32, p, n);
        }

        if (digest->kinds & 1 << UPLOAD_DIGEST_MD5) {
            (void) MD5_Update(&digest->md5, p, n);
        }

        if (digest->kinds & 1 << UPLOAD_DIGEST_SHA1) {
            (void) SHA1_Update(&digest->sha1, p, n);
        }

        if (digest->kinds & 1 << UPLOAD_DIGEST_SHA256) {
            (void) SHA256_Update(&digest->sha256, p, n);
        }

        if (digest->kinds & 1 << UPLOAD_DIGEST_SHA512) {
            (void) SHA512_Update(&digest->sha512, p, n);
        }

        p += n;
        len -= n;
    }
}


size_t
upload_digest_hex(const upload_digest_t *digest, upload_digest_kind_e kind,
    unsigned char *hex)
{
    size_t                         len;
    unsigned char                  md[UPLOAD_DIGEST_HEX_MAX / 2];
    const upload_digest_format_t  *format;

    if (!(digest->kinds & 1 << kind)) {
        return 0;
    }

    format = &upload_digest_formats[kind];
    len = format->words * format->word_size;

    upload_digest_final(digest, kind, md);
    (void) upload_digest_encode(hex, md, len);

    return len * 2;
}


static void
upload_digest_final(const upload_digest_t *digest, upload_digest_kind_e kind,
    unsigned char *md)
{
    upload_digest_t  copy;

    copy = *digest;

    switch (kind) {

    case UPLOAD_DIGEST_CRC32:
        upload_digest_pack(md, copy.crc32, 4);
        break;

    case UPLOAD_DIGEST_MD5:
        (void) MD5_Final(md, &copy.md5);
        break;

    case UPLOAD_DIGEST_SHA1:
        (void) SHA1_Final(md, &copy.sha1);
        break;

    case UPLOAD_DIGEST_SHA256:
        (void) SHA256_Final(md, &copy.sha256);
        break;

    default: /* UPLOAD_DIGEST_SHA512 */
        (void) SHA512_Final(md, &copy.sha512);
        break;
    }
}


size_t
upload_digest_export(const upload_digest_t *digest, char *text, size_t size)
{
    char                          *p;
    size_t                         i, len, name_len;
    unsigned char                  word[sizeof(uint64_t)];
    upload_digest_kind_e           kind;
    upload_digest_state_t          state;
    const upload_digest_format_t  *format;

    p = text;

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {

        if (!(digest->kinds & 1 << kind)) {
            continue;
        }

        upload_digest_save(digest, kind, &state);

        format = &upload_digest_formats[kind];
        name_len = strlen(format->name);
        len = name_len + 2 * (format->words * format->word_size + state.len)
              + 1;

        if (size - (p - text) < len) {
            return 0;
        }

        memcpy(p, format->name, name_len);
        p += name_len;

        for (i = 0; i < format->words; i++) {
            upload_digest_pack(word, state.words[i], format->word_size);
            p = upload_digest_encode(p, word, format->word_size);
        }

        p = upload_digest_encode(p, state.block, state.len);
        *p++ = '\n';
    }

    return p - text;
}


static void
upload_digest_save(const upload_digest_t *digest, upload_digest_kind_e kind,
    upload_digest_state_t *state)
{
    size_t       i;
    const void  *block;

    memset(state->words, 0, sizeof(state->words));

    switch (kind) {

    case UPLOAD_DIGEST_CRC32:
        state->words[0] = digest->crc32;
        state->len = 0;
        return;

    case UPLOAD_DIGEST_MD5:
        state->words[0] = digest->md5.A;
        state->words[1] = digest->md5.B;
        state->words[2] = digest->md5.C;
        state->words[3] = digest->md5.D;
        state->len = digest->md5.num;
        block = digest->md5.data;
        break;

    case UPLOAD_DIGEST_SHA1:
        state->words[0] = digest->sha1.h0;
        state->words[1] = digest->sha1.h1;
        state->words[2] = digest->sha1.h2;
        state->words[3] = digest->sha1.h3;
        state->words[4] = digest->sha1.h4;
        state->len = digest->sha1.num;
        block = digest->sha1.data;
        break;

    case UPLOAD_DIGEST_SHA256:
        for (i = 0; i < UPLOAD_DIGEST_WORDS; i++) {
            state->words[i] = digest->sha256.h[i];
        }

        state->len = digest->sha256.num;
        block = digest->sha256.data;
        break;

    default: /* UPLOAD_DIGEST_SHA512 */
        for (i = 0; i < UPLOAD_DIGEST_WORDS; i++) {
            state->words[i] = digest->sha512.h[i];
        }

        state->len = digest->sha512.num;
        block = digest->sha512.u.p;
        break;
    }

    memcpy(state->block, block, state->len);
}


int
upload_digest_import(upload_digest_t *digest, const char *text, size_t len,
    unsigned long long taken)
{
    size_t                         i, n;
    const char                    *p, *last;
    unsigned char                  word[sizeof(uint64_t)];
    upload_digest_t                found;
    upload_digest_kind_e           kind;
    upload_digest_state_t          state;
    const upload_digest_format_t  *format;

    upload_digest_init(&found, 0);
    memset(&state, 0, sizeof(upload_digest_state_t));
    memset(word, 0, sizeof(word));

    p = text;
    last = text + len;

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {

        format = &upload_digest_formats[kind];
        n = strlen(format->name);

        if ((size_t) (last - p) < n || memcmp(p, format->name, n) != 0) {
            continue;
        }

        p += n;
        state.len = taken % format->block;
        n = 2 * (format->words * format->word_size + state.len);

        if ((size_t) (last - p) < n + 1 || p[n] != '\n') {
            return -1;
        }

        for (i = 0; i < format->words; i++) {

            if (upload_digest_decode(word, p, format->word_size) != 0) {
                return -1;
            }

            state.words[i] = upload_digest_unpack(word, format->word_size);
            p += 2 * format->word_size;
        }

        if (upload_digest_decode(state.block, p, state.len) != 0) {
            return -1;
        }

        p += 2 * state.len + 1;

        upload_digest_restore(&found, kind, &state, taken);
        found.kinds |= 1 << kind;
    }

    /* an unknown kind, a second line of one, another order */

    if (p != last) {
        return -1;
    }

    *digest = found;

    return 0;
}


static void
upload_digest_restore(upload_digest_t *digest, upload_digest_kind_e kind,
    const upload_digest_state_t *state, uint64_t taken)
{
    size_t    i;
    void     *block;
    uint32_t  low, high;

    /* the number of bits */
    low = (uint32_t) (taken << 3);
    high = (uint32_t) (taken >> 29);

    switch (kind) {

    case UPLOAD_DIGEST_CRC32:
        digest->crc32 = state->words[0];
        return;

    case UPLOAD_DIGEST_MD5:
        digest->md5.A = state->words[0];
        digest->md5.B = state->words[1];
        digest->md5.C = state->words[2];
        digest->md5.D = state->words[3];
        digest->md5.Nl = low;
        digest->md5.Nh = high;
        digest->md5.num = state->len;
        block = digest->md5.data;
        break;

    case UPLOAD_DIGEST_SHA1:
        digest->sha1.h0 = state->words[0];
        digest->sha1.h1 = state->words[1];
        digest->sha1.h2 = state->words[2];
        digest->sha1.h3 = state->words[3];
        digest->sha1.h4 = state->words[4];
        digest->sha1.Nl = low;
        digest->sha1.Nh = high;
        digest->sha1.num = state->len;
        block = digest->sha1.data;
        break;

    case UPLOAD_DIGEST_SHA256:
        for (i = 0; i < UPLOAD_DIGEST_WORDS; i++) {
            digest->sha256.h[i] = state->words[i];
        }

        digest->sha256.Nl = low;
        digest->sha256.Nh = high;
        digest->sha256.num = state->len;
        block = digest->sha256.data;
        break;

    default: /* UPLOAD_DIGEST_SHA512 */
        for (i = 0; i < UPLOAD_DIGEST_WORDS; i++) {
            digest->sha512.h[i] = state->words[i];
        }

        digest->sha512.Nl = taken << 3;
        digest->sha512.Nh = taken >> 61;
        digest->sha512.num = state->len;
        block = digest->sha512.u.p;
        break;
    }

    memcpy(block, state->block, state->len);
}


static void
upload_digest_pack(unsigned char *bytes, uint64_t word, size_t size)
{
    while (size) {
        bytes[--size] = (unsigned char) word;
        word >>= 8;
    }
}


static uint64_t
upload_digest_unpack(const unsigned char *bytes, size_t size)
{
    size_t    i;
    uint64_t  word;

    word = 0;

    for (i = 0; i < size; i++) {
        word = word << 8 | bytes[i];
    }

    return word;
}


static void *
upload_digest_encode(void *hex, const unsigned char *bytes, size_t len)
{
    size_t              i;
    char               *p;
    static const char   digits[] = "0123456789abcdef";

    p = hex;

    for (i = 0; i < len; i++) {
        *p++ = digits[bytes[i] >> 4];
        *p++ = digits[bytes[i] & 0xf];
    }

    return p;
}


static int
upload_digest_decode(unsigned char *bytes, const char *hex, size_t len)
{
    size_t  i;
    char    c;

    for (i = 0; i < 2 * len; i++) {
        c = hex[i];

        if (c >= '0' && c <= '9') {
            c -= '0';

        } else if (c >= 'a' && c <= 'f') {
            c -= 'a' - 10;

        } else {
            return -1;
        }

        if (i % 2) {
            bytes[i / 2] |= c;

        } else {
            bytes[i / 2] = (unsigned char) (c << 4);
        }
    }

    return 0;
}
