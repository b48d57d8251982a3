
/*
 * The least that a server can do: copies the body of each request to a file,
 * one thread for each connection. With -s another thread hashes and writes
 * what the first one receives, through a ring of buffers.
 *
 * usage: bench-receive [-s] [-b bytes per buffer] [-r buffers] port directory
 */


#include "bench.h"

#include <openssl/evp.h>
#include <strings.h>


#define HEAD       8192
#define MAX_RING   16


typedef struct {
    unsigned char   *data;
    size_t           len;
} slot_t;


typedef struct {
    int              fd;
    int              file;
    EVP_MD_CTX      *digest;

    const char      *first;
    size_t           first_len;
    uint64_t         left;

    slot_t           ring[MAX_RING];
    int              filled;
    int              ended;
    pthread_mutex_t  mutex;
    pthread_cond_t   changed;
} receive_t;


static int          hashed;
static size_t       buffer_size = 256 * 1024;
static int          buffers = 3;
static const char  *directory;


static void
write_out(receive_t *r, const unsigned char *data, size_t len)
{
    ssize_t  n;

    if (r->digest && EVP_DigestUpdate(r->digest, data, len) != 1) {
        die("digest");
    }

    while (len) {
        n = write(r->file, data, len);
        if (n == -1) {
            die("write");
        }

        data += n;
        len -= n;
    }
}


static void *
consume(void *data)
{
    int         i;
    receive_t  *r;

    r = data;

    for (i = 0; ; i = (i + 1) % buffers) {
        pthread_mutex_lock(&r->mutex);

        while (r->filled == 0 && !r->ended) {
            pthread_cond_wait(&r->changed, &r->mutex);
        }

        if (r->filled == 0) {
            pthread_mutex_unlock(&r->mutex);
            return NULL;
        }

        pthread_mutex_unlock(&r->mutex);

        write_out(r, r->ring[i].data, r->ring[i].len);

        pthread_mutex_lock(&r->mutex);
        r->filled--;
        pthread_cond_signal(&r->changed);
        pthread_mutex_unlock(&r->mutex);
    }
}


/*
 * Fills one buffer, or what is left of the body.  The first one begins with
 * what came together with the head, so that all writes are aligned.
 */

static size_t
fill(receive_t *r, unsigned char *data)
{
    size_t   len, size;
    ssize_t  n;

    size = r->left < buffer_size ? r->left : buffer_size;

    len = r->first_len;
    memcpy(data, r->first, len);
    r->first_len = 0;

    for ( /* void */ ; len < size; len += n) {
        n = recv(r->fd, data + len, size - len, 0);
        if (n <= 0) {
            die("recv");
        }
    }

    r->left -= size;

    return size;
}


static void
receive_alone(receive_t *r)
{
    size_t  n;

    while (r->left) {
        n = fill(r, r->ring[0].data);
        write_out(r, r->ring[0].data, n);
    }
}


static void
receive_in_two(receive_t *r)
{
    int        i;
    pthread_t  thread;

    if (pthread_create(&thread, NULL, consume, r) != 0) {
        die("pthread_create");
    }

    for (i = 0; r->left; i = (i + 1) % buffers) {
        pthread_mutex_lock(&r->mutex);

        while (r->filled == buffers) {
            pthread_cond_wait(&r->changed, &r->mutex);
        }

        pthread_mutex_unlock(&r->mutex);

        r->ring[i].len = fill(r, r->ring[i].data);

        pthread_mutex_lock(&r->mutex);
        r->filled++;
        pthread_cond_signal(&r->changed);
        pthread_mutex_unlock(&r->mutex);
    }

    pthread_mutex_lock(&r->mutex);
    r->ended = 1;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);

    pthread_join(thread, NULL);
}


static size_t
read_head(int fd, char *head, char **end)
{
    size_t   len;
    ssize_t  n;

    for (len = 0; len < HEAD - 1; len += n) {
        n = recv(fd, head + len, HEAD - 1 - len, 0);
        if (n <= 0) {
            return 0;
        }

        head[len + n] = '\0';
        *end = strstr(head, "\r\n\r\n");

        if (*end) {
            *end += 4;
            return len + n;
        }
    }

    return 0;
}


static void *
serve(void *data)
{
    int            i, fd;
    char           head[HEAD], name[256], hex[2 * EVP_MAX_MD_SIZE + 1];
    char          *body, *length;
    size_t         len;
    receive_t      r;
    unsigned int   n;
    unsigned char  md[EVP_MAX_MD_SIZE];

    fd = (intptr_t) data;
    hex[0] = '\0';
    memset(&r, 0, sizeof(receive_t));

    len = read_head(fd, head, &body);
    length = len ? strcasestr(head, "\r\ncontent-length:") : NULL;

    if (length == NULL) {
        close(fd);
        return NULL;
    }

    r.fd = fd;
    r.left = strtoull(length + sizeof("\r\ncontent-length:") - 1, NULL, 10);

    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.changed, NULL);

    for (i = 0; i < (hashed ? buffers : 1); i++) {
        r.ring[i].data = malloc(buffer_size);
        if (r.ring[i].data == NULL) {
            die("malloc");
        }
    }

    snprintf(name, sizeof(name), "%s/received-%d", directory, fd);

    r.file = open(name, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);
    if (r.file == -1) {
        die(name);
    }

    if (hashed) {
        r.digest = EVP_MD_CTX_new();

        if (EVP_DigestInit_ex(r.digest, EVP_sha256(), NULL) != 1) {
            die("digest");
        }
    }

    r.first = body;
    r.first_len = head + len - body;

    if (hashed) {
        receive_in_two(&r);
        EVP_DigestFinal_ex(r.digest, md, &n);
        EVP_MD_CTX_free(r.digest);

        while (n--) {
            hex[2 * n] = "0123456789abcdef"[md[n] >> 4];
            hex[2 * n + 1] = "0123456789abcdef"[md[n] & 15];
        }

        hex[64] = '\0';

    } else {
        receive_alone(&r);
    }

    close(r.file);

    len = snprintf(head, HEAD, "HTTP/1.1 201 Created\r\n"
                   "Connection: close\r\n"
                   "Content-Length: %zu\r\n\r\n%s", strlen(hex), hex);

    if (send(fd, head, len, MSG_NOSIGNAL) == -1) {
        perror("send");
    }

    close(fd);

    for (i = 0; i < (hashed ? buffers : 1); i++) {
        free(r.ring[i].data);
    }

    return NULL;
}


int
main(int argc, char *const *argv)
{
    int        c, fd, listener;
    pthread_t  thread;

    while ((c = getopt(argc, argv, "sb:r:")) != -1) {

        switch (c) {

        case 's':
            hashed = 1;
            break;

        case 'b':
            buffer_size = strtoul(optarg, NULL, 10);
            break;

        case 'r':
            buffers = atoi(optarg);
            break;

        default:
            return 2;
        }
    }

    if (argc - optind != 2 || buffers < 1 || buffers > MAX_RING) {
        fprintf(stderr, "usage: %s [-s] [-b bytes per buffer] [-r buffers] "
                "port directory\n", argv[0]);
        return 2;
    }

    listener = loopback(atoi(argv[optind]), 1);
    directory = argv[optind + 1];

    for ( ;; ) {
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd == -1) {
            die("accept");
        }

        if (pthread_create(&thread, NULL, serve, (void *) (intptr_t) fd)) {
            die("pthread_create");
        }

        pthread_detach(thread);
    }
}
