
/*
 * Segments: whatever the order in which they come, how many come at once, and
 * where it all stops: the file, its state and its digest agree.
 *
 * Linked with --wrap for what reads and changes files, to count and to stop.
 */


#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"
#include "upload_checkpoint.h"
#include "upload_segment.h"


#define ALL      ((1 << UPLOAD_DIGEST_KINDS) - 1)

#define SIZE     100000
#define HANDLES  4
#define THREADS  8

#define KILLED   77


typedef struct {
    upload_sink_t      sink;
    upload_segment_t   segment;
} handle_t;


static char           directory[1000], path[1100], state[1100],
                      checkpoint[1100], temporary[1200];
static unsigned char  content[SIZE];
static int            sync_files;

/* of the data file, by pread() */
static off_t          bytes_read;

/* calls that change a file, before the process ends; 0: it does not */
static unsigned       fuse;


ssize_t __real_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *name);
int __wrap_unlink(const char *name);
int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);


static void
burn(void)
{
    if (fuse && --fuse == 0) {
        _exit(KILLED);
    }
}


ssize_t
__wrap_pread(int fd, void *buf, size_t len, off_t offset)
{
    ssize_t      n;
    struct stat  st, named;

    n = __real_pread(fd, buf, len, offset);

    if (fstat(fd, &st) == 0 && stat(path, &named) == 0
        && st.st_ino == named.st_ino)
    {
        bytes_read += n;
    }

    return n;
}


ssize_t
__wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    burn();

    return __real_pwritev(fd, iov, n, offset);
}


ssize_t
__wrap_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    burn();

    return __real_pwrite(fd, buf, len, offset);
}


ssize_t
__wrap_write(int fd, const void *buf, size_t len)
{
    burn();

    return __real_write(fd, buf, len);
}


int
__wrap_ftruncate(int fd, off_t len)
{
    burn();

    return __real_ftruncate(fd, len);
}


int
__wrap_rename(const char *from, const char *to)
{
    burn();

    return __real_rename(from, to);
}


int
__wrap_unlink(const char *name)
{
    burn();

    return __real_unlink(name);
}


int
__wrap_open(const char *name, int flags, ...)
{
    int      mode;
    va_list  args;

    if (flags & O_CREAT) {
        burn();
    }

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, int) : 0;
    va_end(args);

    return __real_open(name, flags, mode);
}


static void
clean(void)
{
    (void) unlink(path);
    (void) unlink(state);
    (void) unlink(checkpoint);
    (void) unlink(temporary);

    bytes_read = 0;
}


static unsigned
files(void)
{
    DIR            *dir;
    unsigned        n;
    struct dirent  *entry;

    n = 0;
    dir = opendir(directory);
    check(dir != NULL);

    while ((entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.';
    }

    closedir(dir);

    return n;
}


static size_t
slurp(const char *name, unsigned char *data, size_t size)
{
    int      fd;
    ssize_t  n;

    fd = open(name, O_RDONLY);
    check(fd != -1);
    n = read(fd, data, size);
    check(n >= 0);
    close(fd);

    return n;
}


static void
spill(const char *name, const void *data, size_t len)
{
    int  fd;

    fd = open(name, O_WRONLY|O_CREAT|O_TRUNC, 0600);
    check(fd != -1);
    check(fchmod(fd, 0600) == 0);
    check(write(fd, data, len) == (ssize_t) len);
    close(fd);
}


static void
expect_state(const char *text)
{
    size_t          len;
    unsigned char   data[10000];

    len = slurp(state, data, sizeof(data));
    check(len == strlen(text));
    check(memcmp(data, text, len) == 0);
}


static void
expect_digest(const upload_digest_t *digest, const unsigned char *data,
    size_t len, unsigned kinds)
{
    size_t                n;
    unsigned char         a[UPLOAD_DIGEST_HEX_MAX], b[UPLOAD_DIGEST_HEX_MAX];
    upload_digest_t       whole;
    upload_digest_kind_e  kind;

    upload_digest_init(&whole, ALL);
    upload_digest_update(&whole, data, len);

    check((digest->kinds & kinds) == kinds);

    for (kind = 0; kind < UPLOAD_DIGEST_KINDS; kind++) {

        if (digest->kinds & 1 << kind) {
            n = upload_digest_hex(digest, kind, a);
            check(n > 0);
            check(upload_digest_hex(&whole, kind, b) == n);
            check(memcmp(a, b, n) == 0);
        }
    }
}


/* the file, alone, and its digest */

static void
expect_complete(const handle_t *h, const unsigned char *data, size_t len,
    unsigned kinds)
{
    struct stat           st;
    static unsigned char  found[SIZE + 1];

    check(h->segment.complete);
    check((size_t) h->sink.offset == len);
    check(slurp(path, found, sizeof(found)) == len);
    check(memcmp(found, data, len) == 0);
    expect_digest(&h->sink.digest, data, len, kinds);

    check(access(state, F_OK) == -1);
    check(access(checkpoint, F_OK) == -1);
    check(access(temporary, F_OK) == -1);
    check(stat(path, &st) == 0);
    check((st.st_mode & 07777) == 0640);
}


/* last -1: the whole file at once */

static void
prepare(handle_t *h, off_t first, off_t last, off_t total, unsigned kinds)
{
    upload_sink_init(&h->sink, kinds, sync_files);
    upload_segment_init(&h->segment, &h->sink);

    h->segment.path = path;
    h->segment.state_path = state;
    h->segment.checkpoint_path = checkpoint;
    h->segment.mode = 0640;
    h->segment.first = first;
    h->segment.last = last;
    h->segment.total = total;
}


static int
begin(handle_t *h, off_t first, off_t last, off_t total)
{
    prepare(h, first, last, total, ALL);

    return upload_segment_open(&h->segment);
}


static int
take(handle_t *h, const unsigned char *data, size_t len)
{
    upload_piece_t  pieces[2];

    pieces[0].data = data;
    pieces[0].len = len / 2;
    pieces[1].data = data + len / 2;
    pieces[1].len = len - len / 2;

    return upload_sink_take(&h->sink, len > 1 ? pieces : pieces + 1,
                            len > 1 ? 2 : 1);
}


/* everything but the closing */

static int
put(handle_t *h, const unsigned char *data, off_t first, off_t last,
    off_t total)
{
    int  rc;

    rc = begin(h, first, last, total);

    if (rc == 0) {
        check(take(h, data + first, last - first + 1) == 0);
        rc = upload_segment_finish(&h->segment);
    }

    return rc;
}


static int
put_once(const unsigned char *data, off_t first, off_t last, off_t total)
{
    int       rc;
    handle_t  h;

    rc = put(&h, data, first, last, total);
    upload_segment_close(&h.segment);
    upload_segment_close(&h.segment);

    return rc;
}


static int
whole(handle_t *h, const unsigned char *data, size_t len)
{
    int  rc;

    rc = begin(h, 0, 0, 0);

    if (rc == 0) {
        check(len == 0 || take(h, data, len) == 0);
        rc = upload_segment_finish(&h->segment);
    }

    return rc;
}


/* pieces of "size" bytes in that order: every byte is hashed just once */

static void
test_order(const unsigned *order, unsigned n, off_t size, off_t total)
{
    off_t         streamed, first, last;
    handle_t      h;
    unsigned      i;
    struct stat   st;

    clean();
    streamed = 0;

    for (i = 0; i < n; i++) {
        first = order[i] * size;
        last = first + size < total ? first + size - 1 : total - 1;

        check(put(&h, content, first, last, total) == 0);
        check(h.segment.created == (i == 0));
        check(h.segment.complete == (i == n - 1));

        if (h.segment.continues) {
            streamed += last - first + 1;
        }

        if (i < n - 1) {
            check(h.sink.digest.kinds == 0);
            check(h.sink.offset == last + 1);
            check(stat(state, &st) == 0);
            check((st.st_mode & 07777) == 0640);

            if (i == 0) {
                check(h.segment.ranges.n == 1);
                check(h.segment.ranges.elts[0].first == first);
                check(h.segment.ranges.elts[0].last == last);
            }

        } else {
            expect_complete(&h, content, total, ALL);
            check(upload_ranges_complete(&h.segment.ranges));
            check(files() == 1);
        }

        upload_segment_close(&h.segment);
        check(h.segment.ranges.n == 0);
    }

    check(bytes_read == total - streamed);
}


static void
test_orders(void)
{
    off_t     size;
    unsigned  order[20], i, j, k, n;

    for (i = 0; i < 20; i++) {
        order[i] = i;
    }

    test_order(order, 1, SIZE, SIZE);
    test_order(order, 1, 1, 1);
    test_order(order, 2, 1, 2);
    check(bytes_read == 0);
    test_order(order, 20, 5000, SIZE);
    check(bytes_read == 0);
    test_order(order, 20, 4999, 4999 * 20 - 7);
    check(bytes_read == 0);

    for (i = 0; i < 20; i++) {
        order[i] = 19 - i;
    }

    test_order(order, 20, 5000, SIZE);
    check(bytes_read == SIZE - 5000);

    for (i = 0; i < 60; i++) {
        n = 1 + rand() % 20;
        size = 1 + rand() % 5000;

        for (j = 0; j < n; j++) {
            k = rand() % (j + 1);
            order[j] = order[k];
            order[k] = j;
        }

        test_order(order, n, size, n * size - rand() % size);
    }
}


/*
 * Requests of any kind, up to four at a time, with content of their own: a
 * model in memory says what the file has and what of it was recorded.
 */

static void
test_model(unsigned seed)
{
    int             rc;
    off_t           total, first, last, n;
    size_t          i;
    handle_t       *h, handles[HANDLES];
    unsigned        turn, opened, finished, busy, known;
    unsigned char   model[300], has[300], data[300];

    srand(seed);
    clean();

    total = 1 + rand() % sizeof(model);
    memset(has, 0, sizeof(has));
    opened = 0;
    finished = 0;
    known = 0;

    for (turn = 0; turn < 2000 && finished < 3; turn++) {
        i = rand() % HANDLES;
        h = &handles[i];
        busy = opened & ~(1 << i);

        if (!(opened & 1 << i)) {

            if (rand() % 20 == 0) {
                /* a whole file: it has to be alone */
                prepare(h, 0, 0, 0, ALL);
                rc = upload_segment_open(&h->segment);
                check(rc == (busy ? UPLOAD_SEGMENT_CLAIMED : 0));

                if (rc == 0) {
                    check(take(h, content, 10) == 0);
                    memset(has, 0, sizeof(has));
                    known = 0;

                    if (rand() % 2) {
                        check(upload_segment_finish(&h->segment) == 0);
                        expect_complete(h, content, 10, ALL);
                    }
                }

                upload_segment_close(&h->segment);
                continue;
            }

            first = rand() % total;
            last = first + rand() % (total - first);
            last = rand() % 3 ? first + (last - first) / 8 : last;

            if (rand() % 20 == 0) {
                prepare(h, first, last, total + 1, ALL);
                rc = upload_segment_open(&h->segment);
                check(rc == (known ? UPLOAD_SEGMENT_TOTAL : 0));

                upload_segment_close(&h->segment);
                continue;
            }

            prepare(h, first, last, total, rand() % 3 ? ALL : rand() % ALL);
            check(upload_segment_open(&h->segment) == 0);
            opened |= 1 << i;
            continue;
        }

        first = h->sink.offset;
        last = h->segment.last;

        if (first <= last && rand() % 10) {
            n = 1 + rand() % (last - first + 1);

            for (i = 0; i < (size_t) n; i++) {
                data[i] = (unsigned char) rand();
            }

            check(take(h, data, n) == 0);
            memcpy(model + first, data, n);
            continue;
        }

        opened = busy;

        if (first <= last) {
            /* it has gone */
            upload_segment_close(&h->segment);
            continue;
        }

        memset(has + h->segment.first, 1, last - h->segment.first + 1);
        known = 1;

        rc = upload_segment_finish(&h->segment);

        check(h->segment.ranges.total == total);
        check(upload_ranges_complete(&h->segment.ranges)
              == (memchr(has, 0, total) == NULL));

        if (memchr(has, 0, total)) {
            check(rc == 0);
            check(!h->segment.complete);

        } else if (busy) {
            check(rc == UPLOAD_SEGMENT_CLAIMED);
            check(!h->segment.complete);

        } else {
            check(rc == 0);
            expect_complete(h, model, total, h->segment.kinds);
            memset(has, 0, sizeof(has));
            known = 0;
            finished++;
        }

        upload_segment_close(&h->segment);
    }

    for (i = 0; i < HANDLES; i++) {

        if (opened & 1 << i) {
            upload_segment_close(&handles[i].segment);
        }
    }
}


/* an answer that got lost, and a client that begins again */

static void
test_again(void)
{
    off_t                  i;
    handle_t               h;
    static unsigned char   other[SIZE];

    clean();
    check(put_once(content, 0, 9999, SIZE) == 0);
    check(put_once(content, 10000, 19999, SIZE) == 0);
    check(put_once(content, 10000, 19999, SIZE) == 0);
    check(put_once(content, 10000, 19999, SIZE) == 0);
    check(put_once(content, 20000, 29999, SIZE) == 0);
    check(put_once(content, 20000, 29999, SIZE) == 0);
    check(put(&h, content, 30000, SIZE - 1, SIZE) == 0);
    expect_complete(&h, content, SIZE, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == 0);

    for (i = 0; i < SIZE; i++) {
        other[i] = (unsigned char) rand();
    }

    clean();

    for (i = 0; i < 9; i++) {
        check(put_once(content, i * 10000, i * 10000 + 9999, SIZE) == 0);
    }

    for (i = 0; i < 9; i++) {
        check(put_once(other, i * 10000, i * 10000 + 9999, SIZE) == 0);
    }

    check(put(&h, other, 90000, SIZE - 1, SIZE) == 0);
    expect_complete(&h, other, SIZE, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == 0);

    /* one in the middle has other bytes: all of it is read, but once */

    clean();
    memcpy(other, content, SIZE);
    other[15000] ^= 1;

    for (i = 0; i < 9; i++) {
        check(put_once(content, i * 10000, i * 10000 + 9999, SIZE) == 0);
    }

    check(put_once(other, 15000, 15000, SIZE) == 0);
    check(put_once(other, 15000, 15000, SIZE) == 0);
    check(bytes_read == 0);
    check(put(&h, other, 90000, SIZE - 1, SIZE) == 0);
    expect_complete(&h, other, SIZE, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == SIZE);
}


static void
test_same_time(void)
{
    handle_t               a, b, c;
    static unsigned char   other[SIZE];

    memset(other, 'o', SIZE);

    /* the same range twice, and the one that was there first is slower */

    clean();
    check(begin(&a, 0, 99, 200) == 0);
    check(begin(&b, 0, 99, 200) == 0);
    check(a.segment.continues);
    check(!b.segment.continues);
    check(take(&a, content, 50) == 0);
    check(take(&b, other, 100) == 0);
    check(upload_segment_finish(&b.segment) == 0);
    upload_segment_close(&b.segment);
    check(take(&a, content + 50, 50) == 0);
    check(upload_segment_finish(&a.segment) == 0);
    upload_segment_close(&a.segment);
    expect_state("0-99/200\n");

    memcpy(other + 50, content + 50, 150);
    check(put(&c, other, 100, 199, 200) == 0);
    expect_complete(&c, other, 200, ALL);
    upload_segment_close(&c.segment);

    /* one comes, writes, and goes, while another one hashes there */

    clean();
    memset(other, 'o', SIZE);
    check(begin(&a, 0, 99, 200) == 0);
    check(take(&a, content, 100) == 0);
    check(begin(&b, 40, 59, 200) == 0);
    check(take(&b, other, 10) == 0);
    upload_segment_close(&b.segment);
    check(upload_segment_finish(&a.segment) == 0);
    upload_segment_close(&a.segment);

    memcpy(other, content, 40);
    memcpy(other + 50, content + 50, 150);
    check(put(&c, other, 100, 199, 200) == 0);
    expect_complete(&c, other, 200, ALL);
    upload_segment_close(&c.segment);

    /* two of one upload, beside each other, cost no reading twice */

    clean();
    check(begin(&a, 0, 99, 300) == 0);
    check(begin(&b, 100, 199, 300) == 0);
    check(begin(&c, 200, 299, 300) == 0);
    check(take(&c, content + 200, 100) == 0);
    check(take(&b, content + 100, 100) == 0);
    check(take(&a, content, 100) == 0);
    check(upload_segment_finish(&b.segment) == 0);
    upload_segment_close(&b.segment);
    check(bytes_read == 0);
    check(upload_segment_finish(&a.segment) == 0);
    upload_segment_close(&a.segment);
    check(bytes_read == 100);
    check(upload_segment_finish(&c.segment) == 0);
    expect_complete(&c, content, 300, ALL);
    upload_segment_close(&c.segment);
    check(bytes_read == 200);
}


static void
test_claims(void)
{
    handle_t   a, b;
    char       moved[1200];

    snprintf(moved, sizeof(moved), "%s/moved", directory);

    /* a whole file has it alone */

    clean();
    check(begin(&a, 0, 0, 0) == 0);
    check(begin(&b, 0, 9, 20) == UPLOAD_SEGMENT_CLAIMED);
    check(b.sink.fd == -1);
    upload_segment_close(&b.segment);
    check(begin(&b, 0, 0, 0) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&b.segment);
    check(take(&a, content, 10) == 0);
    check(upload_segment_finish(&a.segment) == 0);
    check(begin(&b, 0, 9, 20) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&b.segment);
    expect_complete(&a, content, 10, ALL);
    upload_segment_close(&a.segment);
    check(files() == 1);

    /* ranges have it together */

    check(begin(&a, 0, 9, 20) == 0);
    check(begin(&b, 0, 0, 0) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&b.segment);
    check(begin(&b, 10, 19, 20) == 0);
    check(take(&a, content, 10) == 0);
    check(take(&b, content + 10, 10) == 0);
    check(upload_segment_finish(&a.segment) == 0);
    check(!a.segment.complete);
    upload_segment_close(&a.segment);
    check(upload_segment_finish(&b.segment) == 0);
    expect_complete(&b, content, 20, ALL);

    /* and a complete one is the backend's until it is closed */

    check(begin(&a, 0, 9, 20) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&a.segment);
    check(begin(&a, 0, 0, 0) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&a.segment);
    check(files() == 1);
    upload_segment_close(&b.segment);

    /* who has recorded is in nobody's way, even before it is closed */

    clean();
    check(put(&a, content, 0, 9, 20) == 0);
    check(put(&b, content, 10, 19, 20) == 0);
    expect_complete(&b, content, 20, ALL);
    upload_segment_close(&a.segment);
    check(begin(&a, 0, 9, 20) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&a.segment);
    upload_segment_close(&b.segment);

    /* complete, but another one still sends: it completes at its end */

    clean();
    check(begin(&a, 0, 9, 20) == 0);
    check(put_once(content, 0, 9, 20) == 0);
    check(put(&b, content, 10, 19, 20) == UPLOAD_SEGMENT_CLAIMED);
    check(!b.segment.complete);
    check(upload_ranges_complete(&b.segment.ranges));
    upload_segment_close(&b.segment);
    expect_state("0-19/20\n");
    check(take(&a, content, 10) == 0);
    check(upload_segment_finish(&a.segment) == 0);
    expect_complete(&a, content, 20, ALL);
    upload_segment_close(&a.segment);

    /* or a range that is sent again */

    clean();
    check(begin(&a, 0, 9, 20) == 0);
    check(put_once(content, 0, 9, 20) == 0);
    check(put_once(content, 10, 19, 20) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&a.segment);
    check(put(&b, content, 7, 7, 20) == 0);
    expect_complete(&b, content, 20, ALL);
    upload_segment_close(&b.segment);

    /* the file is gone at the end */

    clean();
    check(begin(&a, 0, 9, 20) == 0);
    check(take(&a, content, 10) == 0);
    check(unlink(path) == 0);
    check(upload_segment_finish(&a.segment) == UPLOAD_SEGMENT_CLAIMED);
    expect_state("");
    upload_segment_close(&a.segment);

    /* another upload has its name by then */

    clean();
    check(begin(&a, 0, 9, 20) == 0);
    check(take(&a, content, 10) == 0);
    check(rename(path, moved) == 0);
    check(put_once(content, 10, 19, 20) == 0);
    check(upload_segment_finish(&a.segment) == UPLOAD_SEGMENT_CLAIMED);
    expect_state("10-19/20\n");
    upload_segment_close(&a.segment);
    check(unlink(moved) == 0);

    /* the state is gone: nobody starts clean while one is on the way */

    clean();
    check(begin(&a, 0, 9, 20) == 0);
    check(take(&a, content, 10) == 0);
    check(unlink(state) == 0);
    check(begin(&b, 10, 19, 20) == UPLOAD_SEGMENT_CLAIMED);
    upload_segment_close(&b.segment);
    check(upload_segment_finish(&a.segment) == UPLOAD_SEGMENT_CLAIMED);
    check(access(state, F_OK) == -1);
    upload_segment_close(&a.segment);
    check(put(&b, content, 10, 19, 20) == 0);
    check(b.segment.created);
    upload_segment_close(&b.segment);
    expect_state("10-19/20\n");
}


static void
test_remove(void)
{
    handle_t  a, b;
    char      moved[1200];

    snprintf(moved, sizeof(moved), "%s/moved", directory);

    clean();
    check(whole(&a, content, 10) == 0);
    check(upload_segment_remove(&a.segment) == 0);
    check(files() == 0);
    check(upload_segment_remove(&a.segment) == 0);

    /* another one has taken its name */

    check(put(&b, content, 0, 9, 20) == 0);
    check(upload_segment_remove(&a.segment) == 0);
    check(files() == 3);
    upload_segment_close(&b.segment);
    upload_segment_close(&a.segment);
    check(upload_segment_remove(&a.segment) == 0);
    check(files() == 3);

    check(put(&b, content, 10, 19, 20) == 0);
    check(b.segment.complete);
    check(rename(path, moved) == 0);
    check(upload_segment_remove(&b.segment) == 0);
    check(files() == 1);
    check(rename(moved, path) == 0);
    check(upload_segment_remove(&b.segment) == 0);
    check(files() == 0);
    upload_segment_close(&b.segment);
}


static void
test_total(void)
{
    size_t          len;
    handle_t        a, b;
    unsigned char   before[100], after[100];

    clean();
    check(put_once(content, 0, 9, 20) == 0);
    len = slurp(path, before, sizeof(before));
    check(begin(&a, 10, 19, 30) == UPLOAD_SEGMENT_TOTAL);
    upload_segment_close(&a.segment);
    check(begin(&a, 0, 0, 1) == UPLOAD_SEGMENT_TOTAL);
    upload_segment_close(&a.segment);
    check(slurp(path, after, sizeof(after)) == len);
    check(memcmp(before, after, len) == 0);
    expect_state("0-9/20\n");
    check(files() == 3);

    /* nobody has said it yet: the first that is recorded does */

    clean();
    check(begin(&a, 0, 9, 20) == 0);
    check(begin(&b, 10, 29, 30) == 0);
    check(take(&a, content, 10) == 0);
    check(take(&b, content + 10, 20) == 0);
    check(upload_segment_finish(&a.segment) == 0);
    check(upload_segment_finish(&b.segment) == UPLOAD_SEGMENT_TOTAL);
    upload_segment_close(&a.segment);
    upload_segment_close(&b.segment);
    expect_state("0-9/20\n");

    /* what the other one left behind the end is cut off */

    check(put(&a, content, 10, 19, 20) == 0);
    expect_complete(&a, content, 20, ALL);
    upload_segment_close(&a.segment);
}


static void
test_corrupt(void)
{
    size_t                i;
    handle_t              h;
    static const char    *texts[] = { "x", "\n", "0-9/20", "0-9/20\n\n",
                                      "9-0/20\n", "0-20/20\n", "0-9/20\r\n",
                                      "0-9/20\n-\n", "0-9/20\n1-\n" };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        clean();
        check(begin(&h, 0, 9, 20) == 0);
        check(take(&h, content, 10) == 0);
        spill(state, texts[i], strlen(texts[i]));
        check(upload_segment_finish(&h.segment) == UPLOAD_SEGMENT_CORRUPT);
        upload_segment_close(&h.segment);
        expect_state(texts[i]);

        check(begin(&h, 10, 19, 20) == UPLOAD_SEGMENT_CORRUPT);
        upload_segment_close(&h.segment);
        expect_state(texts[i]);

        /* without its file it is a leftover, whatever it says */

        check(unlink(path) == 0);
        check(put_once(content, 10, 19, 20) == 0);
        expect_state("10-19/20\n");
    }

    /* of the classic module: not merged, and in any order */

    clean();
    spill(path, content, 20);
    spill(state, "15-19/20\n0-4/20\n3-9/20\n", 23);
    check(chmod(path, 0640) == 0);
    check(put(&h, content, 10, 14, 20) == 0);
    expect_complete(&h, content, 20, ALL);
    upload_segment_close(&h.segment);
}


/* a state says nothing without the bytes that it speaks of */

static void
test_lost(void)
{
    handle_t  h;

    clean();
    check(put_once(content, 0, 9, 20) == 0);
    check(unlink(path) == 0);
    check(put(&h, content, 10, 19, 20) == 0);
    check(h.segment.created);
    upload_segment_close(&h.segment);
    expect_state("10-19/20\n");
    check(put(&h, content, 0, 9, 20) == 0);
    expect_complete(&h, content, 20, ALL);
    upload_segment_close(&h.segment);

    clean();
    check(put_once(content, 5, 9, 20) == 0);
    check(truncate(path, 9) == 0);
    check(put_once(content, 0, 4, 20) == 0);
    expect_state("0-4/20\n");

    /* another total is no reason to refuse it then */

    check(unlink(path) == 0);
    check(put_once(content, 0, 4, 30) == 0);
    expect_state("0-4/30\n");

    /* nor may it be cut off meanwhile */

    clean();
    check(put_once(content, 10, 14, 20) == 0);
    check(begin(&h, 0, 4, 20) == 0);
    check(take(&h, content, 5) == 0);
    check(truncate(path, 5) == 0);
    check(upload_segment_finish(&h.segment) == EIO);
    upload_segment_close(&h.segment);
    expect_state("10-14/20\n");

    /* a checkpoint without its state, or ahead of it, is not used */

    clean();
    check(put_once(content + 50, 0, 9, 20) == 0);
    check(unlink(state) == 0);
    check(put_once(content, 10, 14, 20) == 0);
    check(put_once(content, 0, 9, 20) == 0);
    check(put(&h, content, 15, 19, 20) == 0);
    expect_complete(&h, content, 20, ALL);
    upload_segment_close(&h.segment);

    clean();
    check(put_once(content + 50, 0, 4, 20) == 0);
    check(put_once(content + 50, 5, 9, 20) == 0);
    check(put_once(content + 50, 10, 14, 20) == 0);
    spill(state, "0-4/20\n", 7);
    check(put_once(content, 10, 19, 20) == 0);
    check(put_once(content, 0, 6, 20) == 0);
    check(put(&h, content, 7, 9, 20) == 0);
    expect_complete(&h, content, 20, ALL);
    upload_segment_close(&h.segment);

    /* one that is broken costs the reading */

    clean();
    check(put_once(content, 0, 9, 20) == 0);
    spill(checkpoint, "x", 1);
    check(put(&h, content, 10, 19, 20) == 0);
    expect_complete(&h, content, 20, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == 20);

    /* a request that ends early counts nothing, and is in nobody's way */

    clean();
    check(begin(&h, 0, 9, 20) == 0);
    check(take(&h, content + 50, 5) == 0);
    check(upload_segment_finish(&h.segment) == EINVAL);
    upload_segment_close(&h.segment);
    expect_state("");
    check(put_once(content, 0, 9, 20) == 0);
    check(put(&h, content, 10, 19, 20) == 0);
    expect_complete(&h, content, 20, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == 0);
}


static void
test_reuse(void)
{
    handle_t     h;
    struct stat  st;

    /* after a whole file, and after one of ranges, whatever the length */

    clean();
    check(whole(&h, content, 1000) == 0);
    expect_complete(&h, content, 1000, ALL);
    upload_segment_close(&h.segment);

    check(put(&h, content + 5, 10, 19, 20) == 0);
    check(h.segment.created);
    upload_segment_close(&h.segment);
    check(put(&h, content + 5, 0, 9, 20) == 0);
    check(!h.segment.created);
    expect_complete(&h, content + 5, 20, ALL);
    upload_segment_close(&h.segment);

    check(put(&h, content, 0, 9, 10) == 0);
    check(h.segment.created);
    expect_complete(&h, content, 10, ALL);
    upload_segment_close(&h.segment);

    /* a whole file takes the place of one that is not finished */

    check(put_once(content, 500, 999, 2000) == 0);
    check(put_once(content, 0, 9, 2000) == 0);
    spill(temporary, "x", 1);
    check(files() == 4);
    check(whole(&h, content + 7, 100) == 0);
    check(h.segment.created);
    expect_complete(&h, content + 7, 100, ALL);
    upload_segment_close(&h.segment);
    check(files() == 1);

    check(whole(&h, content, 0) == 0);
    expect_complete(&h, content, 0, ALL);
    upload_segment_close(&h.segment);

    /* room that it did not need is given back */

    prepare(&h, 0, 0, 0, ALL);
    h.sink.reserve = 1000000;
    check(upload_segment_open(&h.segment) == 0);
    check(take(&h, content, 5) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    expect_complete(&h, content, 5, ALL);
    upload_segment_close(&h.segment);
    check(stat(path, &st) == 0);
    check(st.st_blocks * 512 < 100000);
}


/* every second byte: most of them have come earlier */

static void
test_many(void)
{
    off_t         i;
    size_t        len;
    handle_t      h;
    static char   text[200000];

    clean();
    spill(path, content, 10000);
    check(chmod(path, 0640) == 0);

    for (i = 0, len = 0; i < 4900; i++) {
        len += sprintf(text + len, "%u-%u/10001\n", (unsigned) (2 * i + 1),
                       (unsigned) (2 * i + 1));
    }

    spill(state, text, len);

    for ( /* void */ ; i < 5000; i++) {
        check(put_once(content, 2 * i + 1, 2 * i + 1, 10001) == 0);
    }

    check(put(&h, content, 10000, 10000, 10001) == 0);
    check(h.segment.ranges.n == 5000);
    check(upload_ranges_length(&h.segment.ranges, '\n')
          == slurp(state, (unsigned char *) text, sizeof(text)));
    upload_segment_close(&h.segment);
    check(bytes_read == 0);

    check(put(&h, content, 0, 9999, 10001) == 0);
    expect_complete(&h, content, 10001, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == 1);
}


static void
test_refused(void)
{
    char      no_state[1100];
    handle_t  h;

    clean();
    check(begin(&h, 5, 4, 10) == EINVAL);
    check(begin(&h, 5, 10, 10) == EINVAL);
    check(begin(&h, -1, 5, 10) == EINVAL);
    check(begin(&h, 0, 0x7ffffffffffffffell, 0x7fffffffffffffffll) == EFBIG);
    check(files() == 0);

    check(symlink("/nowhere", path) == 0);
    check(begin(&h, 0, 9, 20) == ELOOP);
    upload_segment_close(&h.segment);
    check(unlink(path) == 0);

    check(mkfifo(path, 0600) == 0);
    check(chmod(path, 0600) == 0);
    check(begin(&h, 0, 9, 20) == EINVAL);
    check(strcmp(h.sink.failed, "opened") == 0);
    upload_segment_close(&h.segment);
    check(unlink(path) == 0);

    check(mkdir(path, 0700) == 0);
    check(begin(&h, 0, 9, 20) == EISDIR);
    upload_segment_close(&h.segment);
    check(rmdir(path) == 0);

    snprintf(no_state, sizeof(no_state), "%s/missing/file.state", directory);
    prepare(&h, 0, 9, 20, ALL);
    h.segment.state_path = no_state;
    check(upload_segment_open(&h.segment) == ENOENT);
    check(strcmp(h.sink.failed, "given a state") == 0);
    upload_segment_close(&h.segment);

    /* before it was opened */

    prepare(&h, 0, 9, 20, ALL);
    upload_segment_close(&h.segment);
}


static void
test_reserve(void)
{
    int          rc;
    handle_t     h;
    struct stat  st;
    char         saved[1100];

    clean();
    prepare(&h, 4096, 4096 * 11 - 1, 4096 * 20, 0);
    h.segment.reserve = 1;
    check(upload_segment_open(&h.segment) == 0);
    check(stat(path, &st) == 0);
    check(st.st_size == 0);
    check(st.st_blocks * 512 >= 4096 * 10);
    check(take(&h, content, 4096 * 10) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    upload_segment_close(&h.segment);
    check(access(checkpoint, F_OK) == -1);

    /* a full disk, where the test may have one */

    memcpy(saved, path, sizeof(path));
    snprintf(path, sizeof(path), "%s/disk", directory);
    check(mkdir(path, 0700) == 0);
    rc = mount("none", path, "tmpfs", 0, "size=1m");

    if (rc == 0) {
        snprintf(path, sizeof(path), "%s/disk/file", directory);
        prepare(&h, 0, 9999999, 20000000, ALL);
        h.segment.state_path = state;
        h.segment.reserve = 1;
        (void) unlink(state);
        rc = upload_segment_open(&h.segment);
        check(rc == ENOSPC);
        check(strcmp(h.sink.failed, "given its space on the disk") == 0);
        upload_segment_close(&h.segment);
        check(unlink(path) == 0);

        /* a whole one leaves nothing behind */

        prepare(&h, 0, 0, 0, ALL);
        h.sink.reserve = 10000000;
        check(upload_segment_open(&h.segment) == ENOSPC);
        upload_segment_close(&h.segment);
        check(access(path, F_OK) == -1);
        snprintf(path, sizeof(path), "%s/disk", directory);
        check(umount(path) == 0);
    }

    check(rmdir(path) == 0);
    memcpy(path, saved, sizeof(path));
}


/* what is asked for may change on the way */

static void
test_kinds(void)
{
    handle_t  h;
    unsigned  some;

    some = 1 << UPLOAD_DIGEST_MD5 | 1 << UPLOAD_DIGEST_SHA256;

    clean();
    prepare(&h, 0, 9, 30, some);
    check(upload_segment_open(&h.segment) == 0);
    check(take(&h, content, 10) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    upload_segment_close(&h.segment);
    check(put_once(content, 10, 19, 30) == 0);
    check(bytes_read == 20);
    prepare(&h, 20, 29, 30, some);
    check(upload_segment_open(&h.segment) == 0);
    check(take(&h, content + 20, 10) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    expect_complete(&h, content, 30, ALL);
    upload_segment_close(&h.segment);
    check(bytes_read == 20);

    /* who wants none may still have changed what was hashed */

    clean();
    check(put_once(content + 50, 0, 9, 30) == 0);
    prepare(&h, 0, 9, 30, 0);
    check(upload_segment_open(&h.segment) == 0);
    check(take(&h, content, 10) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    upload_segment_close(&h.segment);
    check(put(&h, content, 10, 29, 30) == 0);
    expect_complete(&h, content, 30, ALL);
    upload_segment_close(&h.segment);

    /* nobody wants any */

    clean();
    prepare(&h, 0, 9, 20, 0);
    check(upload_segment_open(&h.segment) == 0);
    check(take(&h, content, 10) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    upload_segment_close(&h.segment);
    check(files() == 2);
    prepare(&h, 10, 19, 20, 0);
    check(upload_segment_open(&h.segment) == 0);
    check(take(&h, content + 10, 10) == 0);
    check(upload_segment_finish(&h.segment) == 0);
    expect_complete(&h, content, 20, 0);
    upload_segment_close(&h.segment);
    check(bytes_read == 0);
}


/* from an old file to a complete one, in a process of its own */

static void
scenario(unsigned n)
{
    handle_t  h;

    switch (n) {

    case 0:
        (void) put_once(content, 10, 19, 40);
        (void) put_once(content, 0, 9, 40);
        (void) put_once(content, 5, 14, 40);
        (void) put_once(content, 20, 29, 40);
        (void) put_once(content, 30, 39, 40);
        break;

    case 1:
        (void) put_once(content, 20, 29, 40);
        (void) begin(&h, 0, 19, 40);
        (void) take(&h, content, 10);
        upload_segment_close(&h.segment);
        (void) put_once(content, 0, 29, 40);
        (void) put_once(content, 20, 39, 40);
        break;

    default:
        (void) put_once(content, 20, 29, 40);
        (void) put_once(content, 0, 9, 40);
        (void) whole(&h, content, 35);
        upload_segment_close(&h.segment);
        (void) put_once(content, 0, 9, 40);
        break;
    }
}


/* the process ends before each of its steps in turn */

static unsigned
test_killed(unsigned n, unsigned step, unsigned stale)
{
    int               status;
    pid_t             pid;
    size_t            i, len;
    handle_t          h;
    unsigned char     data[1000];
    upload_ranges_t   ranges;

    clean();

    /* what an earlier upload left */

    memset(data, '-', 100);
    spill(path, data, 100);
    check(chmod(path, 0640) == 0);

    if (stale) {
        check(put_once(content + 50, 0, 29, 50) == 0);
        check(unlink(stale == 1 ? state : path) == 0);
    }

    pid = fork();
    check(pid != -1);

    if (pid == 0) {
        fuse = step;
        scenario(n);
        _exit(0);
    }

    check(waitpid(pid, &status, 0) == pid);
    check(WIFEXITED(status));

    /* a state speaks of bytes that are there, unless the file is not */

    if (stale != 2 && access(state, F_OK) == 0) {
        len = slurp(state, data, sizeof(data));
        upload_ranges_init(&ranges, 40);
        check(upload_ranges_parse(&ranges, (char *) data, len)
              == UPLOAD_RANGES_OK);
        len = slurp(path, data, sizeof(data));

        for (i = 0; i < ranges.n; i++) {
            check((size_t) ranges.elts[i].last < len);
            check(memcmp(data + ranges.elts[i].first,
                         content + ranges.elts[i].first,
                         ranges.elts[i].last - ranges.elts[i].first + 1)
                  == 0);
        }

        upload_ranges_free(&ranges);
    }

    /* and it can be gone on with */

    if (put(&h, content, 30, 39, 40) == 0 && !h.segment.complete) {
        upload_segment_close(&h.segment);
        check(put(&h, content, 0, 9, 40) == 0);
    }

    if (!h.segment.complete) {
        upload_segment_close(&h.segment);
        check(put(&h, content, 10, 29, 40) == 0);
    }

    expect_complete(&h, content, 40, ALL);
    upload_segment_close(&h.segment);
    check(files() == 1);

    return WEXITSTATUS(status) == KILLED;
}


static void
test_kills(void)
{
    unsigned  n, step, stale;

    for (n = 0; n < 3; n++) {

        for (stale = 0; stale < (n ? 1 : 3); stale++) {

            for (step = 1; test_killed(n, step, stale); step++) {
                /* void */
            }

            check(step > 20);
        }
    }
}


static void *
client(void *data)
{
    int        rc;
    off_t      first;
    handle_t   h;
    unsigned   i, complete, seed;

    complete = 0;
    seed = (uintptr_t) data;

    for (i = 0; i < 10; i++) {
        first = ((uintptr_t) data + (i * 7) % 10 * THREADS) * 1000;

        if (rand_r(&seed) % 5 == 0) {
            /* it breaks off, and tries again */
            rc = begin(&h, first, first + 999, THREADS * 10000);
            check(rc == 0 || rc == UPLOAD_SEGMENT_CLAIMED);
            check(rc != 0 || take(&h, content + first, 500) == 0);
            upload_segment_close(&h.segment);
        }

        rc = put(&h, content, first, first + 999, THREADS * 10000);

        /* either it was the last one, or others are there */

        check(rc == 0 || rc == UPLOAD_SEGMENT_CLAIMED);
        check(rc == 0 || upload_ranges_complete(&h.segment.ranges));

        if (h.segment.complete) {
            expect_complete(&h, content, THREADS * 10000, ALL);
            complete++;
        }

        upload_segment_close(&h.segment);
    }

    return (void *) (uintptr_t) complete;
}


static void
test_threads(void)
{
    void       *result;
    handle_t    h;
    pthread_t   threads[THREADS];
    uintptr_t   i, complete;

    clean();
    complete = 0;

    for (i = 0; i < THREADS; i++) {
        check(pthread_create(&threads[i], NULL, client, (void *) i) == 0);
    }

    for (i = 0; i < THREADS; i++) {
        check(pthread_join(threads[i], &result) == 0);
        complete += (uintptr_t) result;
    }

    check(complete <= 1);

    if (complete == 0) {
        check(put(&h, content, 0, 999, THREADS * 10000) == 0);
        expect_complete(&h, content, THREADS * 10000, ALL);
        upload_segment_close(&h.segment);
    }
}


int
main(int argc, char **argv)
{
    size_t    i;
    unsigned  seed;

    check(argc == 2);
    snprintf(directory, sizeof(directory), "%s", argv[1]);
    snprintf(path, sizeof(path), "%s/file", argv[1]);
    snprintf(state, sizeof(state), "%s/file.state", argv[1]);
    snprintf(checkpoint, sizeof(checkpoint), "%s/file.checkpoint", argv[1]);
    snprintf(temporary, sizeof(temporary), "%s/file.state.tmp", argv[1]);

    umask(0777);
    srand(1);

    for (i = 0; i < SIZE; i++) {
        content[i] = (unsigned char) rand();
    }

    for (sync_files = 0; sync_files < 2; sync_files++) {
        test_orders();
        test_again();
        test_same_time();
        test_claims();
        test_remove();
        test_total();
        test_corrupt();
        test_lost();
        test_reuse();
        test_refused();
        test_reserve();
        test_kinds();
    }

    sync_files = 0;

    test_many();
    test_kills();

    for (seed = 0; seed < 30; seed++) {
        test_model(seed);
    }

    /* a file just made is there before its mode is: others may look */

    umask(0022);

    for (i = 0; i < 5; i++) {
        test_threads();
    }

    clean();
    printf("ok\n");

    return 0;
}
