
/*
 * One file that is being received: its bytes are hashed and written in the
 * order in which they come.  Only plain memory and system calls, so that a
 * thread can do it.  Every function returns 0 or an errno.
 */


#ifndef _UPLOAD_SINK_H_INCLUDED_
#define _UPLOAD_SINK_H_INCLUDED_


#include <stddef.h>
#include <sys/types.h>

#include "upload_digest.h"


/*
 * Written data are handed to the disk each time so much has gathered: often
 * enough that little is left for the final flush, in pieces large enough for
 * a spinning disk.
 */
#define UPLOAD_SINK_WRITE_BACK  (16 * 1024 * 1024)


typedef struct {
    const unsigned char  *data;
    size_t                len;
} upload_piece_t;


typedef struct {
    int                   fd;
    off_t                 offset;       /* where the next byte goes */
    off_t                 started;      /* write-back was started up to here */
    off_t                 reserve;      /* bytes to come, 0: not known */
    upload_digest_t       digest;
    upload_digest_t      *body;         /* of what is taken alone, or NULL */
    off_t                 fork_offset;
    upload_digest_t       fork_digest;
    upload_digest_t       fork_body;
    const char           *failed;       /* what an error kept from happening */
    unsigned              sync:1;       /* the file is to survive a crash */
    unsigned              reserved:1;
} upload_sink_t;


void upload_sink_init(upload_sink_t *sink, unsigned kinds, int sync);

/* a new file, with that mode whatever the umask */
int upload_sink_create(upload_sink_t *sink, const char *path, mode_t mode);

/*
 * Keeps room for sink->reserve bytes more, so that a disk which cannot take
 * them says so now: ENOSPC.  File systems that cannot do that are no error.
 */
int upload_sink_reserve(upload_sink_t *sink);

/* reserves what was asked for, then writes and hashes */
int upload_sink_take(upload_sink_t *sink, const upload_piece_t *pieces,
    size_t n);

/*
 * The same by two threads at once: one writes, one hashes all "len" bytes of
 * the pieces.  Before that the sink is forked, and joined when both are done:
 * the digest is then that of what is in the file, however much was written.
 */
void upload_sink_fork(upload_sink_t *sink);
int upload_sink_write(upload_sink_t *sink, const upload_piece_t *pieces,
    size_t n);
void upload_sink_hash(upload_sink_t *sink, const upload_piece_t *pieces,
    size_t len);
void upload_sink_join(upload_sink_t *sink, const upload_piece_t *pieces,
    size_t len);

/* hashes what the file has from there up to the sink's offset */
int upload_sink_read_back(upload_sink_t *sink, off_t from);

/* flushes to disk, if asked to */
int upload_sink_flush(upload_sink_t *sink);

/* the same for the name of a new file: its directory */
int upload_sink_flush_name(upload_sink_t *sink, const char *path);

/* flushes and closes, and gives back what was reserved in vain */
int upload_sink_finish(upload_sink_t *sink);

/* may be called in any state, and again */
int upload_sink_close(upload_sink_t *sink);


#endif /* _UPLOAD_SINK_H_INCLUDED_ */
