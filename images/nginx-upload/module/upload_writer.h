
/*
 * Writes one file: exclusive creation, large sequential writes, early
 * write-back, flush to disk.  Every function returns 0 or an errno.
 */


#ifndef _UPLOAD_WRITER_H_INCLUDED_
#define _UPLOAD_WRITER_H_INCLUDED_


#include <stddef.h>
#include <sys/types.h>


/*
 * Written data are handed to the disk each time so much has gathered: often
 * enough that little is left for the final flush, in pieces large enough for
 * a spinning disk.
 */
#define UPLOAD_WRITER_WRITE_BACK  (16 * 1024 * 1024)


typedef struct {
    int              fd;
    off_t            size;          /* bytes taken, buffered ones included */
    off_t            written;
    off_t            started;       /* write-back was started up to here */
    unsigned char   *buffer;
    size_t           buffer_size;
    size_t           buffered;
    unsigned         write_back:1;
} upload_writer_t;


void upload_writer_init(upload_writer_t *w, void *buffer, size_t size,
    int write_back);
int upload_writer_create(upload_writer_t *w, const char *path, mode_t mode);
int upload_writer_write(upload_writer_t *w, const void *data, size_t len);

/* writes out what is buffered */
int upload_writer_flush(upload_writer_t *w);

/* a system call on the descriptor alone: for a thread */
int upload_writer_sync(int fd);

/* may be called in any state, and again */
int upload_writer_close(upload_writer_t *w);


#endif /* _UPLOAD_WRITER_H_INCLUDED_ */
