
/*
 * Digests of a file that is being received, see upload_digest.h.
 */


#include <openssl/evp.h>

#include "upload_digest.h"


int
upload_digest_init(upload_digest_t *digest)
{
    digest->sha256 = EVP_MD_CTX_new();

    if (digest->sha256 == NULL
        || EVP_DigestInit_ex(digest->sha256, EVP_sha256(), NULL) != 1)
    {
        upload_digest_free(digest);
        return -1;
    }

    return 0;
}


int
upload_digest_update(upload_digest_t *digest, const void *data, size_t len)
{
    return EVP_DigestUpdate(digest->sha256, data, len) == 1 ? 0 : -1;
}


int
upload_digest_final(upload_digest_t *digest,
    unsigned char sha256[UPLOAD_SHA256_HEX])
{
    unsigned int          i, len;
    unsigned char         md[EVP_MAX_MD_SIZE];
    static const char     hex[] = "0123456789abcdef";

    if (EVP_DigestFinal_ex(digest->sha256, md, &len) != 1
        || len * 2 != UPLOAD_SHA256_HEX)
    {
        return -1;
    }

    for (i = 0; i < len; i++) {
        sha256[i * 2] = hex[md[i] >> 4];
        sha256[i * 2 + 1] = hex[md[i] & 0xf];
    }

    return 0;
}


void
upload_digest_free(upload_digest_t *digest)
{
    EVP_MD_CTX_free(digest->sha256);
    digest->sha256 = NULL;
}
