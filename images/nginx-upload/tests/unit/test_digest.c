
/*
 * The digests: known answers, in one piece and in many.
 */


#include "unit.h"
#include "upload_digest.h"


static void
expect(const char *data, size_t len, size_t piece, const char *hex)
{
    size_t           pos, n;
    unsigned char    out[UPLOAD_SHA256_HEX];
    upload_digest_t  digest;

    check(upload_digest_init(&digest) == 0);

    for (pos = 0; pos < len; pos += n) {
        n = len - pos < piece ? len - pos : piece;
        check(upload_digest_update(&digest, data + pos, n) == 0);
    }

    check(upload_digest_final(&digest, out) == 0);
    check(memcmp(out, hex, UPLOAD_SHA256_HEX) == 0);

    upload_digest_free(&digest);
    upload_digest_free(&digest);
}


int
main(void)
{
    char  *data;

    expect("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb924"
                     "27ae41e4649b934ca495991b7852b855");
    expect("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223"
                        "b00361a396177a9cb410ff61f20015ad");
    expect("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223"
                        "b00361a396177a9cb410ff61f20015ad");

    data = malloc(1000000);
    memset(data, 'a', 1000000);
    expect(data, 1000000, 4097, "cdc76e5c9914fb9281a1c7e284d73e67"
                                "f1809a48a497200e046d39ccc7112cd0");
    free(data);

    printf("ok\n");

    return 0;
}
