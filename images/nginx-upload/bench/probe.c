
/*
 * Asks for a small page at a steady pace on one kept-alive connection,
 * answered or not, and prints how long the answers took as a line of JSON.
 * A request goes out on time even when earlier ones still wait, so that a
 * server that is away for long is seen by all who came meanwhile.
 *
 * usage: bench-probe port path milliseconds seconds
 */


#include "bench.h"

#include <poll.h>


static int
compare(const void *a, const void *b)
{
    double  x, y;

    x = *(const double *) a;
    y = *(const double *) b;

    return (x > y) - (x < y);
}


static double
percentile(const double *sorted, int n, double p)
{
    int  i;

    i = (int) (p * n);

    return 1000 * sorted[i < n ? i : n - 1];
}


/* the server's answers are all of the length of the first one */

static size_t
first_answer(int fd, const char *request)
{
    char     answer[4096];
    ssize_t  n;

    if (send(fd, request, strlen(request), MSG_NOSIGNAL) == -1) {
        die("send");
    }

    n = recv(fd, answer, sizeof(answer) - 1, 0);
    if (n <= 0) {
        die("recv");
    }

    answer[n] = '\0';

    if (strncmp(answer, "HTTP/1.1 204", 12) != 0
        || strcmp(answer + n - 4, "\r\n\r\n") != 0)
    {
        fprintf(stderr, "the server did not answer 204: %s\n", answer);
        exit(1);
    }

    return n;
}


int
main(int argc, char *const *argv)
{
    int              fd, n, sent, answered;
    char             request[512], answer[65536];
    double           interval, started, next, *times, *late;
    size_t           length, received;
    ssize_t          len;
    struct pollfd    pfd;
    struct timespec  wait;

    if (argc != 5) {
        fprintf(stderr, "usage: %s port path milliseconds seconds\n", argv[0]);
        return 2;
    }

    fd = loopback(atoi(argv[1]), 0);
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);

    interval = atof(argv[3]) / 1000;
    n = (int) (atof(argv[4]) / interval);

    times = calloc(n, sizeof(double));
    late = calloc(n, sizeof(double));

    if (times == NULL || late == NULL || n == 0) {
        die("requests");
    }

    length = first_answer(fd, request);

    sent = 0;
    answered = 0;
    received = 0;
    started = now();
    pfd.fd = fd;
    pfd.events = POLLIN;

    while (answered < n) {
        next = started + sent * interval - now();

        if (sent < n && next <= 0) {
            late[sent] = -next;
            times[sent++] = -now();

            if (send(fd, request, strlen(request), MSG_NOSIGNAL) == -1) {
                die("send");
            }

            continue;
        }

        wait.tv_sec = 0;
        wait.tv_nsec = sent < n ? (long) (next * 1e9) : 999999999;

        if (ppoll(&pfd, 1, &wait, NULL) <= 0) {
            continue;
        }

        len = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
        if (len <= 0) {
            die("recv");
        }

        for (received += len; received >= length; received -= length) {
            times[answered++] += now();
        }
    }

    qsort(times, n, sizeof(double), compare);
    qsort(late, n, sizeof(double), compare);

    printf("{\"requests\": %d, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f, "
           "\"late_p99\": %.3f}\n", n, percentile(times, n, 0.5),
           percentile(times, n, 0.99), percentile(times, n, 1),
           percentile(late, n, 0.99));

    return 0;
}
