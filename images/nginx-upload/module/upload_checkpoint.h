
/*
 * What is kept beside a partial file, so that its digests survive an
 * interruption and a power loss.
 *
 * The file has two slots of UPLOAD_CHECKPOINT_SLOT bytes that are written in
 * turn, so that a torn write leaves the other one.  A slot is text up to its
 * first NUL; what follows the NUL does not count:
 *
 *     upload-checkpoint 1
 *     sequence N           one more with each save; N % 2 is the slot
 *     offset N             bytes of the partial file that were hashed
 *     boot ID              of the machine's start, "-" when not known
 *     KIND HEX             for each digest, see upload_digest_export()
 *     crc32 HEX            CRC-32 of all lines before, 8 digits; the last
 *                          line, while a digest may have the same name
 *
 * The slot that is well-formed and has the higher sequence is the one to use.
 */


#ifndef _UPLOAD_CHECKPOINT_H_INCLUDED_
#define _UPLOAD_CHECKPOINT_H_INCLUDED_


#include <stddef.h>
#include <sys/types.h>

#include "upload_digest.h"


/* a page of its own, so that the disk never writes both slots as one */
#define UPLOAD_CHECKPOINT_SLOT      4096

/* a boot id is an UUID, 36 bytes; longer ones are refused */
#define UPLOAD_CHECKPOINT_BOOT_MAX  64


typedef struct {
    off_t                offset;        /* as many bytes the digest took */
    upload_digest_t      digest;
    unsigned long long   sequence;      /* 0: never saved */

    /*
     * Saved since the machine started: what lies behind the offset in the
     * partial file is good and only has to be hashed.  Otherwise a power
     * loss may have left zeros there.
     */
    unsigned             same_boot:1;
} upload_checkpoint_t;


/*
 * Returns 0; ENODATA when there is no valid slot; another errno.  Unless it
 * is 0, *cp is zeroed.
 */
int upload_checkpoint_load(int fd, upload_checkpoint_t *cp);

/*
 * Returns 0 or an errno, after which it may be called again.  A checkpoint
 * with sequence 0 replaces all that the file holds.
 *
 * It vouches for the file's first bytes up to the offset, also after a power
 * loss: flush them to disk before.  With sync the checkpoint is flushed, too.
 */
int upload_checkpoint_save(int fd, upload_checkpoint_t *cp, int sync);

/* one slot: 0, or -1 when it is not valid, with *cp in any state */
int upload_checkpoint_parse(const char *slot, size_t len,
    upload_checkpoint_t *cp);

/* fills a slot, the rest of it with NULs; returns the length of the text */
size_t upload_checkpoint_format(const upload_checkpoint_t *cp,
    char slot[UPLOAD_CHECKPOINT_SLOT]);


#endif /* _UPLOAD_CHECKPOINT_H_INCLUDED_ */
