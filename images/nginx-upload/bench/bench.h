/* What the small programs of the benchmark share. */


#ifndef BENCH_H
#define BENCH_H


#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>


static inline void
die(const char *what)
{
    perror(what);
    exit(1);
}


static inline double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


/* a socket that is connected to a port of this machine, or listens there */

static inline int
loopback(int port, int server)
{
    int                 fd, on;
    struct sockaddr_in  address;

    on = 1;
    memset(&address, 0, sizeof(address));

    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        die("socket");
    }

    if (server) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) == -1
            || listen(fd, 128) == -1)
        {
            die("listen");
        }

        return fd;
    }

    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == -1) {
        die("connect");
    }

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    return fd;
}


#endif /* BENCH_H */
