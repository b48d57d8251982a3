
/*
 * Uploads as fast as a client can: plain HTTP by sendfile, TLS 1.3 in large
 * writes, one thread for each connection. It prints one line of JSON.
 *
 * usage: bench-send [-t] [-f] [-n connections] [-m method] [-H header]...
 *                   port path bytes source
 *
 * -t is TLS, -f a multipart form; an @ in the path becomes the number of the
 * connection. The source is sent from its beginning again until there are as
 * many bytes as asked for.
 */


#include "bench.h"

#include <openssl/ssl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>


#define BOUNDARY   "-----------------------------9051914041544843365972754266"
#define PREAMBLE                                                              \
    "--" BOUNDARY "\r\n"                                                      \
    "Content-Disposition: form-data; name=\"file\"; filename=\"f.bin\"\r\n"   \
    "Content-Type: application/octet-stream\r\n\r\n"
#define EPILOGUE   "\r\n--" BOUNDARY "--\r\n"

#define TLS_WRITE  (1024 * 1024)
#define ANSWER     4096


typedef struct {
    pthread_t   thread;
    int         number;
    int         fd;
    SSL        *ssl;

    double      seconds;
    double      answer_seconds;
    int         status;
    char        answer[ANSWER];
} upload_t;


static SSL_CTX            *tls;
static int                 form;
static int                 port;
static const char         *path;
static const char         *method;
static char                headers[2048];
static uint64_t            bytes;

static int                 source;
static uint64_t            source_size;
static unsigned char      *source_data;

static pthread_barrier_t   barrier;


/* 0 when the server does not listen to us any more: it may have answered */

static int
send_text(upload_t *u, const char *text, size_t len, int flags)
{
    ssize_t  n;

    while (len) {

        if (u->ssl) {
            n = SSL_write(u->ssl, text, len);

        } else {
            n = send(u->fd, text, len, flags|MSG_NOSIGNAL);
        }

        if (n <= 0) {
            return 0;
        }

        text += n;
        len -= n;
    }

    return 1;
}


static int
send_source(upload_t *u)
{
    off_t     offset;
    ssize_t   n;
    uint64_t  sent, left;

    for (sent = 0; sent < bytes; sent += n) {
        offset = sent % source_size;
        left = source_size - offset;

        if (left > bytes - sent) {
            left = bytes - sent;
        }

        if (u->ssl) {
            n = SSL_write(u->ssl, source_data + offset,
                          left < TLS_WRITE ? left : TLS_WRITE);

        } else {
            n = sendfile(u->fd, source, &offset, left);
        }

        if (n <= 0) {
            return 0;
        }
    }

    return 1;
}


static void
read_answer(upload_t *u, double sent)
{
    ssize_t  n;
    size_t   len;

    for (len = 0; len < ANSWER - 1; len += n) {

        if (u->ssl) {
            n = SSL_read(u->ssl, u->answer + len, ANSWER - 1 - len);

        } else {
            n = read(u->fd, u->answer + len, ANSWER - 1 - len);
        }

        if (n <= 0) {
            break;
        }

        if (len == 0) {
            u->answer_seconds = now() - sent;
        }
    }

    u->answer[len] = '\0';

    if (sscanf(u->answer, "HTTP/1.%*d %d", &u->status) != 1) {
        u->status = 0;
    }
}


static void
connect_to_server(upload_t *u)
{
    u->fd = loopback(port, 0);

    if (tls == NULL) {
        return;
    }

    u->ssl = SSL_new(tls);

    if (u->ssl == NULL || SSL_set_fd(u->ssl, u->fd) != 1
        || SSL_connect(u->ssl) != 1)
    {
        fprintf(stderr, "the TLS handshake failed\n");
        exit(1);
    }
}


static void *
upload(void *data)
{
    int          len;
    char         head[4096], target[512];
    double       started, sent;
    upload_t    *u;
    uint64_t     length;
    const char  *at;

    u = data;
    at = strchr(path, '@');

    if (at) {
        snprintf(target, sizeof(target), "%.*s%d%s", (int) (at - path), path,
                 u->number, at + 1);

    } else {
        snprintf(target, sizeof(target), "%s", path);
    }

    length = bytes;
    if (form) {
        length += strlen(PREAMBLE) + strlen(EPILOGUE);
    }

    len = snprintf(head, sizeof(head),
                   "%s %s HTTP/1.1\r\n"
                   "Host: localhost\r\n"
                   "Connection: close\r\n"
                   "Content-Length: %llu\r\n"
                   "%s%s\r\n%s",
                   method, target, (unsigned long long) length, headers,
                   form ? "Content-Type: multipart/form-data; boundary="
                          BOUNDARY "\r\n" : "",
                   form ? PREAMBLE : "");

    connect_to_server(u);
    pthread_barrier_wait(&barrier);

    started = now();

    if (send_text(u, head, len, MSG_MORE) && send_source(u) && form) {
        send_text(u, EPILOGUE, strlen(EPILOGUE), 0);
    }

    sent = now();

    read_answer(u, sent);

    u->seconds = sent + u->answer_seconds - started;

    if (u->ssl) {
        SSL_free(u->ssl);
    }

    close(u->fd);

    return NULL;
}


/* what follows the answer's head, as far as JSON takes it without escapes */

static void
print_content(const char *answer)
{
    const char  *p;

    p = strstr(answer, "\r\n\r\n");

    for (p = p ? p + 4 : ""; *p; p++) {

        if (*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\') {
            putchar(*p);
        }
    }
}


int
main(int argc, char *const *argv)
{
    int           i, n, c;
    size_t        len;
    double        seconds;
    upload_t     *uploads;
    struct stat   st;

    n = 1;
    method = NULL;

    while ((c = getopt(argc, argv, "tfn:m:H:")) != -1) {

        switch (c) {

        case 't':
            tls = SSL_CTX_new(TLS_client_method());
            if (tls == NULL) {
                die("SSL_CTX_new");
            }

            SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
            SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE);
            SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
            break;

        case 'f':
            form = 1;
            break;

        case 'n':
            n = atoi(optarg);
            break;

        case 'm':
            method = optarg;
            break;

        case 'H':
            len = strlen(headers);

            if (len + strlen(optarg) + sizeof("\r\n") > sizeof(headers)) {
                fprintf(stderr, "the headers are too long\n");
                return 2;
            }

            sprintf(headers + len, "%s\r\n", optarg);
            break;

        default:
            return 2;
        }
    }

    if (argc - optind != 4 || n < 1) {
        fprintf(stderr, "usage: %s [-t] [-f] [-n connections] [-m method] "
                "[-H header]... port path bytes source\n", argv[0]);
        return 2;
    }

    if (method == NULL) {
        method = form ? "POST" : "PUT";
    }

    port = atoi(argv[optind]);
    path = argv[optind + 1];
    bytes = strtoull(argv[optind + 2], NULL, 10);

    source = open(argv[optind + 3], O_RDONLY|O_CLOEXEC);
    if (source == -1 || fstat(source, &st) == -1 || st.st_size == 0) {
        die(argv[optind + 3]);
    }

    source_size = st.st_size;
    source_data = mmap(NULL, source_size, PROT_READ, MAP_SHARED|MAP_POPULATE,
                       source, 0);
    if (source_data == MAP_FAILED) {
        die("mmap");
    }

    /* a server that refuses closes early; OpenSSL has no MSG_NOSIGNAL */
    signal(SIGPIPE, SIG_IGN);

    uploads = calloc(n, sizeof(upload_t));
    if (uploads == NULL || pthread_barrier_init(&barrier, NULL, n) != 0) {
        die("uploads");
    }

    for (i = 0; i < n; i++) {
        uploads[i].number = i;

        if (pthread_create(&uploads[i].thread, NULL, upload, &uploads[i])) {
            die("pthread_create");
        }
    }

    seconds = 0;

    for (i = 0; i < n; i++) {
        pthread_join(uploads[i].thread, NULL);

        if (uploads[i].seconds > seconds) {
            seconds = uploads[i].seconds;
        }
    }

    printf("{\"seconds\": %.6f, \"uploads\": [", seconds);

    for (i = 0; i < n; i++) {
        printf("%s{\"status\": %d, \"seconds\": %.6f, \"answer_seconds\": %.6f,"
               " \"content\": \"", i ? ", " : "", uploads[i].status,
               uploads[i].seconds, uploads[i].answer_seconds);
        print_content(uploads[i].answer);
        printf("\"}");
    }

    printf("]}\n");

    return 0;
}
