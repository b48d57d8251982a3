
/*
 * The digest that a client has announced for the body of one request: it is
 * computed beside those of the file, unless one of them is the same.
 */


#ifndef _UPLOAD_CHECKSUM_H_INCLUDED_
#define _UPLOAD_CHECKSUM_H_INCLUDED_


#include <stddef.h>

#include "upload_digest.h"


typedef struct {
    upload_digest_kind_e   kind;
    size_t                 len;
    unsigned char          hex[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t        digest;      /* of the body, as far as it came */
} upload_checksum_t;


/* "sha256 HEX", in either case: 0, or -1 when it is no such thing */
int upload_checksum_parse(upload_checksum_t *checksum, const char *text,
    size_t len);

/* whether that digest, of the same kind, is the one that was announced */
int upload_checksum_matches(const upload_checksum_t *checksum,
    const upload_digest_t *digest);


#endif /* _UPLOAD_CHECKSUM_H_INCLUDED_ */
