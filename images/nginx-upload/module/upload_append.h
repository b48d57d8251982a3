
/*
 * A file that grows over several requests: one writer at a time, at exactly
 * the offset that the file has, with a digest that survives interruption.
 * Memory and system calls only, so that a thread can do it.
 *
 * Beside the file, with ".checkpoint" behind its name, stands how far the
 * digest has come: see upload_checkpoint.h.  What the file has more than that
 * is hashed when it is opened the next time.  If the machine was started
 * anew meanwhile it is cut off, because a power loss may have left zeros there.
 */


#ifndef _UPLOAD_APPEND_H_INCLUDED_
#define _UPLOAD_APPEND_H_INCLUDED_


#include <sys/types.h>

#include "upload_checkpoint.h"
#include "upload_checksum.h"
#include "upload_sink.h"
#include "upload_takeover.h"


/* a checkpoint so often within one request: a second or less to hash again */
#define UPLOAD_APPEND_INTERVAL  (256 * 1024 * 1024)

#define UPLOAD_APPEND_SUFFIX    ".checkpoint"


/* besides 0 and an errno */
#define UPLOAD_APPEND_LOCKED    (-1)    /* another one is writing */
#define UPLOAD_APPEND_OFFSET    (-2)    /* append->size is the right one */
#define UPLOAD_APPEND_CHECKSUM  (-3)    /* the body is not what it should be */
#define UPLOAD_APPEND_ASKED     (-4)    /* the one who is writing: try again */


typedef struct {
    upload_sink_t        *sink;
    const char           *path;
    const char           *checkpoint_path;
    mode_t                mode;         /* of a new file */
    off_t                 offset;       /* where the request goes on */
    off_t                 length;       /* of the whole file; -1: not known */
    int                   discard;      /* what this request brought */
    upload_checksum_t    *checksum;     /* of its body, or NULL */
    upload_takeover_t     takeover;     /* what to do where it is locked */

    /* the rest is private, and for reading */
    off_t                 size;         /* that the file had when opened */
    off_t                 saved;        /* offset of the last checkpoint */
    off_t                 kept;         /* durable; -1: unknown, or no file */
    int                   checkpoint_fd;
    unsigned              locked:1;     /* by us */
    unsigned              named:1;      /* a new name has to be flushed, too */
    upload_digest_t       digest;       /* at the beginning */
    upload_checkpoint_t   checkpoint;
} upload_append_t;


void upload_append_init(upload_append_t *append, upload_sink_t *sink);

/*
 * Opens, locks, heals the digest, and keeps the room on the disk that the
 * length asks for.  The sink is ready for data then.  After
 * UPLOAD_APPEND_ASKED it may be called again, and tries once more.
 */
int upload_append_open(upload_append_t *append);

/* whether a checkpoint is due in the middle of a request */
int upload_append_due(upload_append_t *append);

/* makes what the file has durable, and the checkpoint say so */
int upload_append_keep(upload_append_t *append);

/*
 * The body is complete: keeps it.  After UPLOAD_APPEND_CHECKSUM the next
 * upload_append_keep() brings back what the file was before.
 */
int upload_append_finish(upload_append_t *append);

/* gives the lock back; may be called in any state, and again */
void upload_append_close(upload_append_t *append);


#endif /* _UPLOAD_APPEND_H_INCLUDED_ */
