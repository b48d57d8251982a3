
/*
 * What the files of a segment share, see upload_segment.h.
 */


#ifndef _UPLOAD_SEGMENT_PRIVATE_H_INCLUDED_
#define _UPLOAD_SEGMENT_PRIVATE_H_INCLUDED_


#include "upload_checkpoint.h"
#include "upload_segment.h"


/* where the locks are */
#define UPLOAD_SEGMENT_CLAIM   0
#define UPLOAD_SEGMENT_UPDATE  1
#define UPLOAD_SEGMENT_DATA    2


/* upload_segment.c */

int upload_segment_lock(upload_segment_t *segment, int command, short type,
    off_t start, off_t len);
int upload_segment_named(upload_segment_t *segment);

/* upload_segment_digest.c */

int upload_segment_continue(upload_segment_t *segment);
int upload_segment_advance(upload_segment_t *segment, upload_checkpoint_t *cp,
    off_t most);
int upload_segment_load(const upload_segment_t *segment,
    upload_checkpoint_t *cp);
int upload_segment_save(upload_segment_t *segment, upload_checkpoint_t *cp);

/* upload_segment_state.c */

int upload_segment_forget(upload_segment_t *segment);
int upload_segment_read_state(upload_segment_t *segment);
int upload_segment_write_state(upload_segment_t *segment);
int upload_segment_error(upload_ranges_e rc);
off_t upload_segment_end(const upload_ranges_t *ranges);


#endif /* _UPLOAD_SEGMENT_PRIVATE_H_INCLUDED_ */
