
/*
 * The search for a delimiter, see upload_search.h.
 *
 * Wherever a pattern of n bytes stands, one of its n - 1 pairs of neighbours
 * ends at each position after its first.  So it is enough to look at every
 * (n - 1)th position: a pair that is not of the pattern rules out all places
 * that cover it.  memmem() skips as far, but it has to look a byte up before
 * it knows where the next one is; here they are independent of each other,
 * and several are looked up at a time.
 */


#define _GNU_SOURCE
#include <string.h>

#include "upload_search.h"


/* with less than that to skip memmem() is as fast */
#define UPLOAD_SEARCH_MIN     8

/* looked through with memmem() where a pair is found: more may be near */
#define UPLOAD_SEARCH_WINDOW  4096


static inline unsigned upload_search_pair(const upload_search_t *search,
    const unsigned char *p);


void
upload_search_init(upload_search_t *search, const unsigned char *pattern,
    size_t len)
{
    size_t    i;
    uint16_t  pair;

    memset(search, 0, sizeof(upload_search_t));

    for (i = 0; i + 1 < len; i++) {
        memcpy(&pair, pattern + i, sizeof(pair));
        search->pairs[pair / 64] |= (uint64_t) 1 << pair % 64;
    }
}


const unsigned char *
upload_search(const upload_search_t *search, const unsigned char *pattern,
    size_t len, const unsigned char *start, const unsigned char *last)
{
    size_t                step;
    const unsigned char  *p, *end, *found;

    if (len < UPLOAD_SEARCH_MIN) {
        return memmem(start, last - start, pattern, len);
    }

    step = len - 1;

    /* no pattern begins before "start", a pair is at p and p + 1 */

    while ((size_t) (last - start) >= len) {
        p = start + step - 1;

        if ((size_t) (last - p) > 3 * step + 1
            && !(upload_search_pair(search, p)
                 | upload_search_pair(search, p + step)
                 | upload_search_pair(search, p + 2 * step)
                 | upload_search_pair(search, p + 3 * step)))
        {
            start += 4 * step;
            continue;
        }

        if (!upload_search_pair(search, p)) {
            start += step;
            continue;
        }

        end = (last - start > UPLOAD_SEARCH_WINDOW)
              ? start + UPLOAD_SEARCH_WINDOW : last;

        found = memmem(start, end - start, pattern, len);

        if (found) {
            return found;
        }

        start = end - step;
    }

    return NULL;
}


static inline unsigned
upload_search_pair(const upload_search_t *search, const unsigned char *p)
{
    uint16_t  pair;

    memcpy(&pair, p, sizeof(pair));

    return search->pairs[pair / 64] >> pair % 64 & 1;
}
