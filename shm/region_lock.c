/*
 * Proof of life: every worker holds a write lock on its table's byte of the memory file, the ledger
 * process on a byte of its own. The locks belong to the open file description, which is made anew
 * for each process by opening the descriptor's entry in /proc (the file's name may be gone) and
 * which no other keeps, so the kernel drops them exactly when that process is gone, however it
 * went. A process id would prove nothing.
 *
 * Only the numbers of the bytes matter, not what stands there.
 */
#include "shm/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LEDGER_BYTE 64 /* after the tables' */

static struct flock
lock_on(off_t byte, short type)
{
    /* l_pid must be 0 for locks of this kind. */
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

static int
lock_take(struct region *region, off_t byte)
{
    struct flock lock = lock_on(byte, F_WRLCK);
    char path[64];

    if (region->lock_fd < 0) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", region->fd);
        region->lock_fd = open(path, O_RDWR | O_CLOEXEC);
        if (region->lock_fd < 0)
            return -errno;
    }
    if (fcntl(region->lock_fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

/* Asked through the description that all processes share and that holds no lock itself: so a
 * process sees its own lock, too. */
static int
lock_held(const struct region *region, off_t byte)
{
    struct flock lock = lock_on(byte, F_WRLCK);

    if (fcntl(region->fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    return lock.l_type == F_UNLCK ? 0 : 1;
}

int
region_lock_table(struct region *region, uint32_t table)
{
    ASSERT(table < region->header->geometry.table_max);
    return lock_take(region, (off_t)table);
}

int
region_lock_ledger(struct region *region)
{
    return lock_take(region, LEDGER_BYTE);
}

void
region_lock_hand_over(struct region *region)
{
    if (region->lock_fd >= 0)
        close(region->lock_fd);
    region->lock_fd = -1;
}

int
region_table_locked(const struct region *region, uint32_t table)
{
    ASSERT(table < region->header->geometry.table_max);
    return lock_held(region, (off_t)table);
}

int
region_ledger_locked(const struct region *region)
{
    return lock_held(region, LEDGER_BYTE);
}
