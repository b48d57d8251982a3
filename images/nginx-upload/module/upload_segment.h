
/*
 * One range ("segment") of a file that arrives in ranges: in any order, in
 * parallel, over several requests; or the whole file of that name at once.
 * Memory and system calls only, so that a thread can do it.
 *
 * The state says which ranges the file has, one line "A-B/TOTAL" each; a
 * range is there only after its bytes are on the disk.  Beside the state
 * stands how far the digest has come, see upload_checkpoint.h: from the first
 * byte on without a gap.  What comes in order is hashed as it comes, what
 * came early is read back once, when its turn has come.
 *
 * The requests agree by locks on the data file, which end with the descriptor,
 * however that ends:
 *
 *     byte 0, the claim     shared while a range is received, exclusive while
 *                           a whole file is, and from completion to closing
 *     byte 1, the update    exclusive and short: opening and recording
 *     byte 2 + N            shared, by each request that writes byte N
 *
 * The digest is always that of what is in the file, also when a client sends
 * a range again with other bytes: no byte that a request may still write is
 * ever counted as hashed, and one that was is taken back before.
 */


#ifndef _UPLOAD_SEGMENT_H_INCLUDED_
#define _UPLOAD_SEGMENT_H_INCLUDED_


#include <sys/types.h>

#include "upload_ranges.h"
#include "upload_sink.h"


/*
 * Read back so much after a segment, or some times its own length if that is
 * more, and leave the rest for the next one: others wait for the update, and
 * a tiny segment must not cost the reading of a huge file.
 */
#define UPLOAD_SEGMENT_READ_BACK  (256 * 1024 * 1024)
#define UPLOAD_SEGMENT_TIMES      4

#define UPLOAD_SEGMENT_SUFFIX     ".state"


/* besides 0 and an errno */
#define UPLOAD_SEGMENT_CLAIMED    (-11)     /* others work with the file */
#define UPLOAD_SEGMENT_TOTAL      (-12)     /* it has another total */
#define UPLOAD_SEGMENT_CORRUPT    (-13)     /* the state is none */


typedef struct {
    upload_sink_t        *sink;
    const char           *path;
    const char           *state_path;
    const char           *checkpoint_path;  /* in the state's directory */
    mode_t                mode;             /* of new files */
    off_t                 first;
    off_t                 last;             /* included */
    off_t                 total;            /* 0: the whole file at once */
    unsigned              reserve:1;        /* room for it on the disk */

    /* results */
    unsigned              created:1;        /* it started clean */
    unsigned              complete:1;
    upload_ranges_t       ranges;           /* that the file has, recorded */

    /* private */
    unsigned              continues:1;      /* the digest, in order */
    unsigned              kinds;            /* of digests wanted */
    unsigned long long    sequence;         /* of the checkpoint continued */
} upload_segment_t;


void upload_segment_init(upload_segment_t *segment, upload_sink_t *sink);

/*
 * Opens and claims.  The sink is ready for the segment's bytes then; after a
 * failure it is closed.  What the sink is to reserve for a whole file is the
 * caller's to say.
 */
int upload_segment_open(upload_segment_t *segment);

/*
 * After the sink took all bytes: records them, durably if the sink is so.  If
 * the file is complete then, nobody else has it until it is closed, the state
 * is gone, and the sink has the digest of all; otherwise it has none.
 *
 * UPLOAD_SEGMENT_CLAIMED may mean that it would be complete, but others still
 * write: everything is recorded, and to send any range again completes it.
 */
int upload_segment_finish(upload_segment_t *segment);

/*
 * Removes the file that is claimed alone, while it is: not what others have
 * put in its place.
 */
int upload_segment_remove(upload_segment_t *segment);

/* gives locks and memory back; may be called in any state, and again */
void upload_segment_close(upload_segment_t *segment);


#endif /* _UPLOAD_SEGMENT_H_INCLUDED_ */
