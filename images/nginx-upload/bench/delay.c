
/*
 * A long line on a machine without netem: a network device that keeps each
 * packet for a while and then gives it back with its two addresses exchanged.
 * Who connects to the device's neighbour 10.9.0.2 so reaches this machine
 * itself, and its answers return the same way. Checksums stay right, because
 * they do not depend on the order of the addresses.
 *
 * usage: bench-delay device milliseconds      the delay is that of one way
 */


#include "bench.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/ioctl.h>


/* packets on their way: 50 ms of more than anything here can send */
#define QUEUE   (1 << 18)
#define PACKET  (sizeof(struct virtio_net_hdr) + 65536)


typedef struct {
    double          due;
    size_t          len;
    unsigned char  *data;
} packet_t;


static int
open_device(const char *name)
{
    int           fd;
    struct ifreq  ifr;

    fd = open("/dev/net/tun", O_RDWR|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        die("/dev/net/tun");
    }

    memset(&ifr, 0, sizeof(ifr));
    ifr.ifr_flags = IFF_TUN|IFF_NO_PI|IFF_VNET_HDR;
    snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);

    if (ioctl(fd, TUNSETIFF, &ifr) == -1) {
        die("TUNSETIFF");
    }

    /* segments travel together, as they do through a real network card */

    if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM|TUN_F_TSO4|TUN_F_USO4|TUN_F_USO6)
        == -1
        && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM|TUN_F_TSO4) == -1)
    {
        die("TUNSETOFFLOAD");
    }

    return fd;
}


static void
turn_round(unsigned char *data, size_t len)
{
    struct iphdr  ip;
    uint32_t      address;

    data += sizeof(struct virtio_net_hdr);

    if (len < sizeof(struct virtio_net_hdr) + sizeof(struct iphdr)) {
        return;
    }

    memcpy(&ip, data, sizeof(ip));

    address = ip.saddr;
    ip.saddr = ip.daddr;
    ip.daddr = address;

    memcpy(data, &ip, sizeof(ip));
}


int
main(int argc, char *const *argv)
{
    int              fd;
    double           delay, wait;
    ssize_t          n;
    uint32_t         head, tail;
    packet_t        *queue, *packet;
    struct pollfd    pfd;
    unsigned char    buffer[PACKET];
    struct timespec  timeout;

    if (argc != 3) {
        fprintf(stderr, "usage: %s device milliseconds\n", argv[0]);
        return 2;
    }

    fd = open_device(argv[1]);
    delay = atof(argv[2]) / 1000;

    queue = calloc(QUEUE, sizeof(packet_t));
    if (queue == NULL) {
        die("queue");
    }

    pfd.fd = fd;
    pfd.events = POLLIN;

    for (head = tail = 0; ; ) {

        while (head != tail && queue[head % QUEUE].due <= now()) {
            packet = &queue[head++ % QUEUE];

            if (write(fd, packet->data, packet->len) == -1 && errno == EBADF) {
                die("write");
            }

            free(packet->data);
        }

        n = tail - head < QUEUE ? read(fd, buffer, PACKET) : -1;

        if (n > 0) {
            packet = &queue[tail++ % QUEUE];
            packet->due = now() + delay;
            packet->len = n;
            packet->data = malloc(n);

            if (packet->data == NULL) {
                die("packet");
            }

            memcpy(packet->data, buffer, n);
            turn_round(packet->data, n);
            continue;
        }

        wait = head != tail ? queue[head % QUEUE].due - now() : 1;

        if (wait > 0) {
            timeout.tv_sec = (time_t) wait;
            timeout.tv_nsec = (long) ((wait - timeout.tv_sec) * 1e9);

            (void) ppoll(&pfd, 1, &timeout, NULL);
        }
    }
}
