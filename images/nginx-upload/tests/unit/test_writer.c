
/*
 * The writer: what it is given stands in the file, whatever the pieces; and
 * each failure is an errno.
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "upload_writer.h"


#define SIZE  (40 * 1024 * 1024 + 7)


static void
expect_file(const char *path, const unsigned char *data, size_t len)
{
    int             fd;
    struct stat     st;
    unsigned char  *read_back;

    fd = open(path, O_RDONLY);
    check(fd != -1);
    check(fstat(fd, &st) == 0);
    check((size_t) st.st_size == len);
    check((st.st_mode & 07777) == 0640);

    read_back = malloc(len + 1);
    check(read(fd, read_back, len + 1) == (ssize_t) len);
    check(memcmp(read_back, data, len) == 0);

    free(read_back);
    close(fd);
}


static void
test_pieces(const char *path, const unsigned char *data, size_t len,
    size_t buffer_size, size_t piece)
{
    size_t            pos, n;
    unsigned char    *buffer;
    upload_writer_t   w;

    buffer = malloc(buffer_size);
    upload_writer_init(&w, buffer, buffer_size, 1);
    check(upload_writer_create(&w, path, 0640) == 0);

    for (pos = 0; pos < len; pos += n) {
        n = piece ? piece : 1 + (size_t) rand() % (3 * buffer_size);
        n = len - pos < n ? len - pos : n;
        check(upload_writer_write(&w, data + pos, n) == 0);
        check((size_t) w.size == pos + n);
    }

    check(upload_writer_flush(&w) == 0);
    check((size_t) w.written == len);
    check(upload_writer_sync(w.fd) == 0);
    check(upload_writer_close(&w) == 0);
    check(upload_writer_close(&w) == 0);

    expect_file(path, data, len);
    check(unlink(path) == 0);
    free(buffer);
}


int
main(int argc, char **argv)
{
    size_t            i;
    char              path[1000], missing[1100];
    unsigned char    *data, buffer[100];
    struct rlimit     limit;
    upload_writer_t   w;

    check(argc == 2);
    snprintf(path, sizeof(path), "%s/file", argv[1]);
    snprintf(missing, sizeof(missing), "%s/missing/file", argv[1]);

    srand(1);
    data = malloc(SIZE);

    for (i = 0; i < SIZE; i++) {
        data[i] = (unsigned char) rand();
    }

    umask(0777);

    test_pieces(path, data, 0, 128, 1);
    test_pieces(path, data, 1, 128, 1);
    test_pieces(path, data, 1000, 128, 1);
    test_pieces(path, data, 1000, 128, 128);
    test_pieces(path, data, 1000, 128, 129);
    test_pieces(path, data, 100000, 128, 0);
    test_pieces(path, data, SIZE, 65536, 0);
    test_pieces(path, data, SIZE, 65536, SIZE);

    upload_writer_init(&w, buffer, sizeof(buffer), 0);
    check(upload_writer_close(&w) == 0);
    check(upload_writer_create(&w, missing, 0600) == ENOENT);
    check(upload_writer_create(&w, path, 0640) == 0);
    check(upload_writer_write(&w, data, 10) == 0);

    /* exclusive: what is there stays as it is */
    upload_writer_init(&w, buffer, sizeof(buffer), 0);
    check(upload_writer_create(&w, path, 0600) == EEXIST);
    check(unlink(path) == 0);
    check(symlink("/nowhere", path) == 0);
    check(upload_writer_create(&w, path, 0600) == EEXIST);
    check(unlink(path) == 0);

    /* an error of the disk, at once and out of the buffer */
    signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = limit.rlim_max = 1000;
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);

    check(upload_writer_create(&w, path, 0600) == 0);
    check(upload_writer_write(&w, data, 950) == 0);
    check(upload_writer_write(&w, data, 60) == 0);
    check(upload_writer_flush(&w) == EFBIG);
    check(upload_writer_write(&w, data, 1000) == EFBIG);
    check(upload_writer_close(&w) == 0);
    check(unlink(path) == 0);

    check(upload_writer_sync(-1) == EBADF);

    free(data);
    printf("ok\n");

    return 0;
}
