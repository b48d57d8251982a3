
/*
 * Looks for a delimiter in a large body, faster than memmem() where hardly
 * anything of it resembles the delimiter.
 */


#ifndef _UPLOAD_SEARCH_H_INCLUDED_
#define _UPLOAD_SEARCH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    /* a bit for each two bytes that stand side by side in the pattern */
    uint64_t  pairs[65536 / 64];
} upload_search_t;


void upload_search_init(upload_search_t *search, const unsigned char *pattern,
    size_t len);

/*
 * The first occurrence of the pattern, or NULL, as memmem() finds it.  The
 * pattern may also be any end of the one that the search was made for.
 */
const unsigned char *upload_search(const upload_search_t *search,
    const unsigned char *pattern, size_t len, const unsigned char *start,
    const unsigned char *last);


#endif /* _UPLOAD_SEARCH_H_INCLUDED_ */
