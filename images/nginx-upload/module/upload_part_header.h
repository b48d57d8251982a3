
/*
 * The header lines of a part and the boundary parameter of a request,
 * read by RFC 7578 and RFC 6266 with the tolerance that browsers need.
 */


#ifndef _UPLOAD_PART_HEADER_H_INCLUDED_
#define _UPLOAD_PART_HEADER_H_INCLUDED_


#include "upload_multipart.h"


typedef enum {
    UPLOAD_BOUNDARY_OK = 0,
    UPLOAD_BOUNDARY_NOT_MULTIPART,  /* another content type */
    UPLOAD_BOUNDARY_MISSING,
    UPLOAD_BOUNDARY_TOO_LONG
} upload_boundary_e;


upload_boundary_e upload_part_boundary(const unsigned char *content_type,
    size_t len, upload_str_t *boundary);

/*
 * Takes one unfolded header line of the part.  The copies of the values that
 * matter go to the given buffers, which are as long as the line.  Returns
 * NULL, or what is wrong with the line.
 */
const char *upload_part_header(upload_part_t *part,
    const unsigned char *line, size_t len, unsigned char *disposition,
    unsigned char *content_type);


#endif /* _UPLOAD_PART_HEADER_H_INCLUDED_ */
