
/*
 * Digests of a file that is being received: several kinds in one pass, and
 * their state as text, so that an interrupted file is not read again.
 *
 * No memory is allocated, and a digest may be copied by assignment.
 */


#ifndef _UPLOAD_DIGEST_H_INCLUDED_
#define _UPLOAD_DIGEST_H_INCLUDED_


#include <stddef.h>
#include <openssl/md5.h>
#include <openssl/sha.h>


typedef enum {
    UPLOAD_DIGEST_CRC32 = 0,
    UPLOAD_DIGEST_MD5,
    UPLOAD_DIGEST_SHA1,
    UPLOAD_DIGEST_SHA256,
    UPLOAD_DIGEST_SHA512,
    UPLOAD_DIGEST_KINDS
} upload_digest_kind_e;


/* bytes of the longest digest in hexadecimal */
#define UPLOAD_DIGEST_HEX_MAX   128

/* bytes of an exported state: every kind, each a byte short of a block */
#define UPLOAD_DIGEST_TEXT_MAX  938


typedef struct {
    unsigned               kinds;   /* the bit 1 << kind for each */

    /* everything below is private */
    unsigned               crc32;
    MD5_CTX                md5;
    SHA_CTX                sha1;
    SHA256_CTX             sha256;
    SHA512_CTX             sha512;
} upload_digest_t;


void upload_digest_init(upload_digest_t *digest, unsigned kinds);
void upload_digest_update(upload_digest_t *digest, const void *data,
    size_t len);

/*
 * The digest of what was taken so far, more may follow: bytes written, in
 * lower case and without a NUL; 0 when that kind is not computed.
 */
size_t upload_digest_hex(const upload_digest_t *digest,
    upload_digest_kind_e kind, unsigned char *hex);

/*
 * The state as text, the same on every machine: one line "KIND HEX" for each
 * kind, in the order of the enum and in lower case.  HEX is the chaining
 * words, each with its highest byte first, and the bytes that do not fill a
 * block yet; a CRC-32 is its value.  Returns bytes written, without a NUL, or
 * 0 when they do not fit.
 */
size_t upload_digest_export(const upload_digest_t *digest, char *text,
    size_t size);

/*
 * "taken" is the number of bytes that had been hashed.  Returns 0, or -1 when
 * the text is not of upload_digest_export(): the digest is then unchanged.
 */
int upload_digest_import(upload_digest_t *digest, const char *text,
    size_t len, unsigned long long taken);


#endif /* _UPLOAD_DIGEST_H_INCLUDED_ */
