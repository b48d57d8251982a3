
/*
 * How one request asks another for the file that it writes to, in whatever
 * process that is: with a lock on the checkpoint beside the file.  It is a
 * lock of the open file, so that it ends with whoever asked, and whoever
 * writes only looks whether there is one.
 *
 * A read lock asks for a file whose writer is idle, a write lock for any.  By
 * itself each has a byte of its own, so that those who ask politely are in
 * nobody's way; the one who is asked does not mind which.
 */


#ifndef _UPLOAD_TAKEOVER_H_INCLUDED_
#define _UPLOAD_TAKEOVER_H_INCLUDED_


#include <stddef.h>


typedef enum {
    UPLOAD_TAKEOVER_NONE = 0,
    UPLOAD_TAKEOVER_IDLE,
    UPLOAD_TAKEOVER_NOW
} upload_takeover_e;


typedef struct {
    upload_takeover_e   wanted;
    int                 fd;         /* private */
} upload_takeover_t;


void upload_takeover_init(upload_takeover_t *takeover);

/* "idle" or "now": 0, or -1 when it is neither */
int upload_takeover_parse(upload_takeover_t *takeover, const char *text,
    size_t len);

/*
 * Asks for what is wanted.  It may be too early, without a checkpoint, or
 * another one may insist already: come again.
 */
void upload_takeover_ask(upload_takeover_t *takeover, const char *checkpoint);

/* asks no more; may be called in any state, and again */
void upload_takeover_close(upload_takeover_t *takeover);

/* what others want of the one who writes, and has that checkpoint open */
upload_takeover_e upload_takeover_asked(int fd);


#endif /* _UPLOAD_TAKEOVER_H_INCLUDED_ */
