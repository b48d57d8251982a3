
/*
 * Digests of a file that is being received, over OpenSSL's EVP interface.
 */


#ifndef _UPLOAD_DIGEST_H_INCLUDED_
#define _UPLOAD_DIGEST_H_INCLUDED_


#include <stddef.h>


/* bytes of a SHA-256 in hexadecimal */
#define UPLOAD_SHA256_HEX  64


typedef struct {
    void  *sha256;
} upload_digest_t;


/* all three return 0, or -1 when OpenSSL refuses */
int upload_digest_init(upload_digest_t *digest);
int upload_digest_update(upload_digest_t *digest, const void *data,
    size_t len);
int upload_digest_final(upload_digest_t *digest,
    unsigned char sha256[UPLOAD_SHA256_HEX]);

/* may be called in any state, and again */
void upload_digest_free(upload_digest_t *digest);


#endif /* _UPLOAD_DIGEST_H_INCLUDED_ */
