
/*
 * Who asks for a file that another one writes to, and what that one sees.
 */


#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "unit.h"
#include "upload_append.h"


typedef struct {
    upload_sink_t    sink;
    upload_append_t  append;
} handle_t;


static char  path[1100], checkpoint[1100], moved[1100];


static void
begin(handle_t *h, upload_takeover_e wanted, off_t offset)
{
    upload_sink_init(&h->sink, 1 << UPLOAD_DIGEST_CRC32, 0);
    upload_append_init(&h->append, &h->sink);

    h->append.path = path;
    h->append.checkpoint_path = checkpoint;
    h->append.mode = 0600;
    h->append.offset = offset;
    h->append.takeover.wanted = wanted;
}


static void
take(handle_t *h, const char *text)
{
    upload_piece_t  piece;

    piece.data = (const unsigned char *) text;
    piece.len = strlen(text);

    check(upload_sink_take(&h->sink, &piece, 1) == 0);
    check(upload_append_keep(&h->append) == 0);
}


static upload_takeover_e
asked(const handle_t *h)
{
    return upload_takeover_asked(h->append.checkpoint_fd);
}


static void
parses(void)
{
    size_t             i;
    upload_takeover_t  takeover;
    const char        *none[] = { "", "i", "idl", "idle ", "Idle", "no", "now1",
                                  "NOW", "0", "1" };

    upload_takeover_init(&takeover);
    check(takeover.wanted == UPLOAD_TAKEOVER_NONE);

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        check(upload_takeover_parse(&takeover, none[i], strlen(none[i]))
              == -1);
        check(takeover.wanted == UPLOAD_TAKEOVER_NONE);
    }

    check(upload_takeover_parse(&takeover, "idle", 4) == 0);
    check(takeover.wanted == UPLOAD_TAKEOVER_IDLE);
    check(upload_takeover_parse(&takeover, "nowhere", 3) == 0);
    check(takeover.wanted == UPLOAD_TAKEOVER_NOW);

    /* there is nothing to close yet */

    upload_takeover_close(&takeover);
}


static void
is_told_what_others_want(void)
{
    handle_t           h;
    upload_takeover_t  polite, patient, insists, too;

    begin(&h, UPLOAD_TAKEOVER_NONE, 0);
    upload_takeover_init(&polite);
    upload_takeover_init(&patient);
    upload_takeover_init(&insists);
    upload_takeover_init(&too);
    polite.wanted = UPLOAD_TAKEOVER_IDLE;
    patient.wanted = UPLOAD_TAKEOVER_IDLE;
    insists.wanted = UPLOAD_TAKEOVER_NOW;
    too.wanted = UPLOAD_TAKEOVER_NOW;

    /* without a checkpoint there is nobody to ask, and none is made */

    upload_takeover_ask(&polite, checkpoint);
    check(polite.fd == -1);
    check(access(checkpoint, F_OK) == -1);

    check(upload_append_open(&h.append) == 0);
    check(asked(&h) == UPLOAD_TAKEOVER_NONE);

    upload_takeover_ask(&polite, checkpoint);
    check(asked(&h) == UPLOAD_TAKEOVER_IDLE);
    upload_takeover_ask(&polite, checkpoint);
    check(asked(&h) == UPLOAD_TAKEOVER_IDLE);

    /* those who are patient are in nobody's way */

    upload_takeover_ask(&patient, checkpoint);
    upload_takeover_ask(&insists, checkpoint);
    check(asked(&h) == UPLOAD_TAKEOVER_NOW);

    upload_takeover_close(&polite);
    check(asked(&h) == UPLOAD_TAKEOVER_NOW);
    upload_takeover_close(&patient);
    check(asked(&h) == UPLOAD_TAKEOVER_NOW);

    /* one who insists is enough, and another one may be the next */

    upload_takeover_ask(&too, checkpoint);
    upload_takeover_close(&insists);
    check(asked(&h) == UPLOAD_TAKEOVER_NONE);
    upload_takeover_ask(&too, checkpoint);
    check(asked(&h) == UPLOAD_TAKEOVER_NOW);
    upload_takeover_close(&too);
    check(asked(&h) == UPLOAD_TAKEOVER_NONE);

    /* the checkpoint is written meanwhile as ever */

    upload_takeover_ask(&insists, checkpoint);
    take(&h, "content");
    check(asked(&h) == UPLOAD_TAKEOVER_NOW);
    upload_takeover_close(&insists);

    upload_append_close(&h.append);
}


/* other programs may lock all of it */

static void
is_told_what_other_programs_want(void)
{
    int           fd;
    handle_t      h;
    struct flock  lock;

    begin(&h, UPLOAD_TAKEOVER_NONE, 7);
    check(upload_append_open(&h.append) == 0);

    fd = open(checkpoint, O_RDWR);
    check(fd != -1);

    memset(&lock, 0, sizeof(struct flock));
    lock.l_whence = SEEK_SET;

    lock.l_type = F_RDLCK;
    check(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    check(asked(&h) == UPLOAD_TAKEOVER_IDLE);

    lock.l_type = F_WRLCK;
    check(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    check(asked(&h) == UPLOAD_TAKEOVER_NOW);

    check(close(fd) == 0);
    check(asked(&h) == UPLOAD_TAKEOVER_NONE);

    upload_append_close(&h.append);

    /* nobody can be asked about what is no file */

    check(asked(&h) == UPLOAD_TAKEOVER_NONE);
}


static void
waits_until_the_other_one_is_over(upload_takeover_e wanted)
{
    handle_t  first, second, third;

    begin(&first, UPLOAD_TAKEOVER_NONE, 7);
    check(upload_append_open(&first.append) == 0);

    begin(&second, wanted, 11);
    check(upload_append_open(&second.append) == UPLOAD_APPEND_ASKED);
    check(!second.append.locked);
    check(asked(&first) == wanted);

    /* who does not want to wait does not disturb */

    begin(&third, UPLOAD_TAKEOVER_NONE, 7);
    check(upload_append_open(&third.append) == UPLOAD_APPEND_LOCKED);
    upload_append_close(&third.append);
    check(asked(&first) == wanted);

    check(upload_append_open(&second.append) == UPLOAD_APPEND_ASKED);
    take(&first, " and");
    upload_append_close(&first.append);

    /* then it has the file, with all that came meanwhile, and asks no more */

    check(upload_append_open(&second.append) == 0);
    check(second.append.locked);
    check(second.append.size == 11);
    check(asked(&second) == UPLOAD_TAKEOVER_NONE);
    check(second.append.takeover.fd == -1);
    take(&second, "!");

    /* or another offset than the right one */

    begin(&third, wanted, 11);
    check(upload_append_open(&third.append) == UPLOAD_APPEND_ASKED);
    upload_append_close(&second.append);
    check(upload_append_open(&third.append) == UPLOAD_APPEND_OFFSET);
    check(third.append.size == 12);
    check(truncate(path, 7) == 0);
    upload_append_close(&third.append);
}


static void
leaves_nothing_when_it_waits_no_longer(void)
{
    handle_t  first, second;

    begin(&first, UPLOAD_TAKEOVER_NONE, 7);
    check(upload_append_open(&first.append) == 0);

    begin(&second, UPLOAD_TAKEOVER_NOW, 7);
    check(upload_append_open(&second.append) == UPLOAD_APPEND_ASKED);
    check(asked(&first) == UPLOAD_TAKEOVER_NOW);

    upload_append_close(&second.append);
    check(asked(&first) == UPLOAD_TAKEOVER_NONE);
    check(second.append.takeover.fd == -1 && second.sink.fd == -1);

    upload_append_close(&second.append);
    upload_append_close(&first.append);
}


/* the file that it waited for is complete then: it does not begin another */

static void
does_not_wait_for_what_is_gone(off_t offset)
{
    handle_t  first, second;

    begin(&first, UPLOAD_TAKEOVER_NONE, 7);
    check(upload_append_open(&first.append) == 0);

    begin(&second, UPLOAD_TAKEOVER_IDLE, offset);
    check(upload_append_open(&second.append) == UPLOAD_APPEND_ASKED);

    check(rename(path, moved) == 0);
    check(upload_append_open(&second.append) == UPLOAD_APPEND_ASKED);

    upload_append_close(&first.append);
    check(upload_append_open(&second.append) == UPLOAD_APPEND_LOCKED);
    check(second.append.takeover.fd == -1);
    check(access(path, F_OK) == -1);

    upload_append_close(&second.append);
    check(rename(moved, path) == 0);
}


int
main(int argc, char **argv)
{
    check(argc == 2);

    (void) snprintf(path, sizeof(path), "%s/file", argv[1]);
    (void) snprintf(checkpoint, sizeof(checkpoint), "%s/file.checkpoint",
                    argv[1]);
    (void) snprintf(moved, sizeof(moved), "%s/moved", argv[1]);

    parses();
    is_told_what_others_want();
    is_told_what_other_programs_want();
    waits_until_the_other_one_is_over(UPLOAD_TAKEOVER_IDLE);
    waits_until_the_other_one_is_over(UPLOAD_TAKEOVER_NOW);
    leaves_nothing_when_it_waits_no_longer();
    does_not_wait_for_what_is_gone(0);
    does_not_wait_for_what_is_gone(7);

    return 0;
}
