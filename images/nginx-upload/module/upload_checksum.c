
/*
 * The digest that a client has announced, see upload_checksum.h.
 */


#include <string.h>
#include <strings.h>

#include "upload_checksum.h"


static const struct {
    const char            *name;
    upload_digest_kind_e   kind;
} upload_checksum_names[] = {
    { "crc32 ", UPLOAD_DIGEST_CRC32 },
    { "md5 ", UPLOAD_DIGEST_MD5 },
    { "sha1 ", UPLOAD_DIGEST_SHA1 },
    { "sha256 ", UPLOAD_DIGEST_SHA256 },
    { "sha512 ", UPLOAD_DIGEST_SHA512 },
    { NULL, UPLOAD_DIGEST_KINDS }
};


int
upload_checksum_parse(upload_checksum_t *checksum, const char *text,
    size_t len)
{
    char    c;
    size_t  i, n;

    n = 0;

    for (i = 0; upload_checksum_names[i].name; i++) {
        n = strlen(upload_checksum_names[i].name);

        if (len > n
            && strncasecmp(text, upload_checksum_names[i].name, n) == 0)
        {
            break;
        }
    }

    if (upload_checksum_names[i].name == NULL) {
        return -1;
    }

    text += n;
    len -= n;

    checksum->kind = upload_checksum_names[i].kind;
    upload_digest_init(&checksum->digest, 1 << checksum->kind);

    /* as long as that of nothing */

    checksum->len = upload_digest_hex(&checksum->digest, checksum->kind,
                                      checksum->hex);
    if (len != checksum->len) {
        return -1;
    }

    for (i = 0; i < len; i++) {
        c = text[i];

        if (c >= 'A' && c <= 'F') {
            c |= 0x20;
        }

        if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
            return -1;
        }

        checksum->hex[i] = c;
    }

    return 0;
}


int
upload_checksum_matches(const upload_checksum_t *checksum,
    const upload_digest_t *digest)
{
    size_t         len;
    unsigned char  hex[UPLOAD_DIGEST_HEX_MAX];

    len = upload_digest_hex(digest, checksum->kind, hex);

    return len == checksum->len && memcmp(hex, checksum->hex, len) == 0;
}
