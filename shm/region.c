/*
 * The memory file: layout, making, adopting, growing. A new file gets its checksum last, so that
 * one whose maker was killed half-way is known: nothing can be in it.
 *
 * Adoption believes nothing that it can compute: all sizes and offsets must be those that follow
 * from the geometry, which itself must be within bounds; what grows must lie within what is there;
 * and what is said to be allocated is allocated again, which costs little when it is and keeps the
 * promise that no store can fault when it is not.
 */
#include "shm/region.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "shm/account.h"
#include "shm/affinity.h"
#include "shm/budget.h"
#include "shm/health.h"
#include "shm/idem.h"
#include "shm/layout.h"
#include "shm/names.h"
#include "shm/peers.h"
#include "shm/quota.h"
#include "shm/series.h"
#include "shm/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROWTH_BYTES_MAX (UINT64_C(8) << 20)
#define REGION_FILE "region"
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define PATH_BYTES 4096
#define ITEMS_MAX (1u << 26)
#define CONSTANT_BYTES offsetof(struct region_header, checksum)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "no hidden locks");
_Static_assert(sizeof(struct region_header) <= REGION_ALIGN, "the header's place");
_Static_assert(COUNT_OF(((struct region_header *)0)->table) == REGION_TABLES_MAX, "tables");
_Static_assert(sizeof(struct region_table) == 2 * CACHE_LINE, "layout");
_Static_assert(STAT_COUNT * sizeof(uint64_t) <= TABLE_STATS_BYTES, "counters' place");

const struct region_geometry region_geometry_default = {
    .account_max = 1u << 20,
    .budget_max = 1u << 22,
    .quota_max = 1u << 21,
    .key_max = 1u << 22,
    .key_extra_max = (1u << 22) + (1u << 21), /* one for each key and quota */
    .name_max = 16384,
    .health_max = 2048,
    .idem_max = 1u << 16,
    .table_max = REGION_TABLES_MAX,
    .slot_max = 16384,
};

#ifdef SHM_STEPS
void (*shm_step_hook)(const char *where);
#endif

/* ---- layout ---- */

static uint64_t
aligned(uint64_t bytes)
{
    return (bytes + REGION_ALIGN - 1) & ~(uint64_t)(REGION_ALIGN - 1);
}

static bool
geometry_ok(const struct region_geometry *g)
{
    if (g->account_max < 1 || g->account_max > ITEMS_MAX || g->budget_max < 1 ||
        g->budget_max > ITEMS_MAX || g->quota_max < 1 || g->quota_max > ITEMS_MAX || g->key_max < 1 || g->key_max > ITEMS_MAX ||
        g->key_extra_max < 1 || g->key_extra_max > ITEMS_MAX)
        return false;
    if (g->name_max < 1 || g->name_max > UINT16_MAX || g->health_max < 1 ||
        g->health_max > UINT16_MAX)
        return false;
    if (g->idem_max < IDEM_SET || g->idem_max > ITEMS_MAX || (g->idem_max & (g->idem_max - 1)) != 0)
        return false;
    if (g->table_max < 1 || g->table_max > REGION_TABLES_MAX)
        return false;
    return g->slot_max >= 64 && g->slot_max <= (1u << 20) && (g->slot_max & (g->slot_max - 1)) == 0;
}

struct table_offsets {
    uint64_t ring, ring_entries, slots, records, refusals, loads, peers, end;
};

static struct table_offsets
table_offsets(const struct region_geometry *g)
{
    struct table_offsets at;

    at.ring = TABLE_STATS_BYTES;
    at.ring_entries = at.ring + sizeof(struct hold_ring);
    at.slots = at.ring_entries + (uint64_t)g->slot_max * sizeof(uint32_t);
    at.records = at.slots + (uint64_t)g->slot_max * sizeof(struct hold_slot);
    at.refusals = at.records + (uint64_t)g->slot_max * sizeof(struct record);
    at.loads = at.refusals + sizeof(struct refusal_ring);
    at.peers = at.loads + (uint64_t)g->health_max * sizeof(uint32_t);
    at.end = aligned(at.peers + (uint64_t)PEERS_ROWS * PEERS_PLACES * sizeof(uint32_t));
    return at;
}

bool
region_layout(const struct region_geometry *geometry, struct region_layout *out)
{
    struct region_layout layout;
    const struct region_geometry *g = geometry;
    uint64_t off = aligned(sizeof(struct region_header));

    if (!geometry_ok(g))
        return false;
    layout.table_bytes = table_offsets(g).end;
    /* Index 0 is never used, hence one more than there can be. */
    layout.part_bytes[REGION_ACCOUNTS] = ((uint64_t)g->account_max + 1) * sizeof(struct account);
    layout.part_bytes[REGION_BUDGETS] = ((uint64_t)g->budget_max + 1) * sizeof(struct budget);
    layout.part_bytes[REGION_QUOTAS] = ((uint64_t)g->quota_max + 1) * sizeof(struct quota);
    layout.part_bytes[REGION_KEYS] = ((uint64_t)g->key_max + 1) * sizeof(struct key_slot);
    layout.part_bytes[REGION_KEY_EXTRAS] =
        ((uint64_t)g->key_extra_max + 1) * sizeof(struct key_extra_slot);
    layout.part_bytes[REGION_NAMES] = (uint64_t)g->name_max * sizeof(struct name_entry);
    layout.part_bytes[REGION_HEALTH] = (uint64_t)g->health_max * sizeof(struct health);
    layout.part_bytes[REGION_IDEM] = (uint64_t)g->idem_max * sizeof(struct idem_entry);
    layout.part_bytes[REGION_AFFINITY] = AFFINITY_LINES * sizeof(struct affinity_line);
    layout.part_bytes[REGION_SERIES] = series_bytes();
    layout.part_bytes[REGION_INDEXES] = key_index_area_off(key_index_class_max(g->key_max) + 1, 0);
    layout.part_bytes[REGION_TABLES] = g->table_max * layout.table_bytes;
    for (int part = 0; part < REGION_PART_COUNT; part++) {
        layout.part_bytes[part] = aligned(layout.part_bytes[part]);
        layout.part_off[part] = off;
        off += layout.part_bytes[part];
    }
    layout.region_bytes = off;
    *out = layout;
    return true;
}

void *
region_part(const struct region *region, enum region_part part)
{
    return region->base + region->header->part_off[part];
}

static uint64_t
table_off(const struct region_header *header, uint32_t table)
{
    return header->part_off[REGION_TABLES] + table * header->table_bytes;
}

bool
region_table_parts(const struct region *region, uint32_t table_idx, struct table_parts *out)
{
    const struct region_header *header = region->header;
    struct table_offsets at;
    uint8_t *table;

    if (table_idx >= header->geometry.table_max)
        return false;
    /* Pairs with the release in region_table_ensure(), made in another process perhaps. */
    if (!(atomic_load_explicit(&header->table_ready, memory_order_acquire) >> table_idx & 1))
        return false;
    at = table_offsets(&header->geometry);
    table = region->base + table_off(header, table_idx);
    out->stats = (_Atomic uint64_t *)(void *)table;
    out->ring = (struct hold_ring *)(void *)(table + at.ring);
    out->ring_entries = (uint32_t *)(void *)(table + at.ring_entries);
    out->slots = (struct hold_slot *)(void *)(table + at.slots);
    out->records = (struct record *)(void *)(table + at.records);
    out->refusals = (struct refusal_ring *)(void *)(table + at.refusals);
    out->loads = (_Atomic uint32_t *)(void *)(table + at.loads);
    out->peers = (_Atomic uint32_t *)(void *)(table + at.peers);
    return true;
}

/* ---- growing ---- */

static int
allocate(int fd, uint64_t off, uint64_t bytes)
{
    int rc;

    do
        rc = fallocate(fd, 0, (off_t)off, (off_t)bytes);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

/*
 * Allocating what is allocated already changes nothing, and part_ready only grows: so although each
 * part has one writer, names, which all processes add to, may grow here as well.
 */
int
region_ensure(struct region *region, enum region_part part, uint64_t bytes)
{
    struct region_header *header = region->header;
    _Atomic uint64_t *ready = &header->part_ready[part];
    uint64_t have = atomic_load_explicit(ready, memory_order_acquire);
    uint64_t want;
    int rc;

    ASSERT(part < REGION_PART_COUNT && part != REGION_TABLES);
    if (bytes <= have)
        return 0;
    if (bytes > header->part_bytes[part])
        return -ENOSPC;
    /* An eighth more than there is, so that a million keys cost some hundred system calls; but not so
     * much that millions of them take a tenth more than they need. */
    want = MIN(aligned(MAX(bytes, have + MIN(have / 8, GROWTH_BYTES_MAX))), header->part_bytes[part]);
    rc = allocate(region->fd, header->part_off[part] + have, want - have);
    if (rc < 0)
        return rc;
    /* Release: whoever sees the new size may store there. */
    while (have < want && !atomic_compare_exchange_weak_explicit(
                              ready, &have, want, memory_order_release, memory_order_relaxed))
        cpu_relax();
    return 0;
}

int
region_table_ensure(struct region *region, uint32_t table)
{
    struct region_header *header = region->header;
    int rc;

    if (table >= header->geometry.table_max)
        return -ENOSPC;
    if (atomic_load_explicit(&header->table_ready, memory_order_acquire) >> table & 1)
        return 0;
    rc = allocate(region->fd, table_off(header, table), header->table_bytes);
    if (rc < 0)
        return rc;
    atomic_fetch_or_explicit(&header->table_ready, UINT64_C(1) << table, memory_order_release);
    return 0;
}

/* ---- the file ---- */

/* A UUID's 16 bytes. */
static int
read_boot_id(uint8_t out[16])
{
    char text[64], hex[32];
    size_t hex_len = 0;
    ssize_t n;
    int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    n = read(fd, text, sizeof(text));
    close(fd);
    for (ssize_t i = 0; i < n && text[i] != '\n'; i++) {
        if (text[i] == '-')
            continue;
        if (hex_len == sizeof(hex))
            return -EINVAL;
        hex[hex_len++] = text[i];
    }
    return str_unhex((struct str){hex, hex_len}, out, 16) ? 0 : -EINVAL;
}

static uint64_t
header_checksum(const struct region_header *header)
{
    uint8_t hash[HASH_LEN];
    uint64_t sum;

    hash_keyed(NULL, header, CONSTANT_BYTES, hash);
    memcpy(&sum, hash, sizeof(sum));
    return sum;
}

static int
region_path(const char *dir, char out[PATH_BYTES])
{
    int n = snprintf(out, PATH_BYTES, "%s/" REGION_FILE, dir);

    return n < 0 || n >= PATH_BYTES ? -ENAMETOOLONG : 0;
}

/* Takes fd over, also when it fails. */
static int
region_map(int fd, uint64_t bytes, struct region **out)
{
    struct region *region = calloc(1, sizeof(*region));
    void *base;
    int rc = -ENOMEM;

    if (region == NULL)
        goto close_fd;
    base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        rc = -errno;
        goto free_region;
    }
    /* No key hash and no balance in a core file; failing that, the process makes none anyway. */
    (void)madvise(base, bytes, MADV_DONTDUMP);
    region->base = base;
    region->header = base;
    region->bytes = bytes;
    region->fd = fd;
    region->lock_fd = -1;
    *out = region;
    return 0;

free_region:
    free(region);
close_fd:
    close(fd);
    return rc;
}

void
region_detach(struct region *region)
{
    if (region == NULL)
        return;
    munmap(region->base, region->bytes);
    close(region->fd);
    if (region->lock_fd >= 0)
        close(region->lock_fd);
    free(region->key_writer);
    free(region);
}

/* Parts that are small and written by all: whole from the start. */
static bool
part_is_whole(int part)
{
    return part == REGION_NAMES || part == REGION_HEALTH || part == REGION_IDEM ||
           part == REGION_AFFINITY;
}

/* What `serve` needs at once. */
static int
ensure_first(struct region *region)
{
    const struct region_header *header = region->header;

    for (int part = 0; part < REGION_TABLES; part++) {
        uint64_t bytes = REGION_ALIGN;
        int rc;

        if (part_is_whole(part))
            bytes = header->part_bytes[part];
        rc = region_ensure(region, (enum region_part)part, bytes);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int
region_fill(struct region *region, const struct region_geometry *geometry,
            const struct region_layout *layout)
{
    struct region_header *header = region->header;
    int rc = read_boot_id(header->boot_id);

    if (rc < 0)
        return rc;
    header->magic = REGION_MAGIC;
    header->layout_version = REGION_LAYOUT_VERSION;
    header->header_bytes = sizeof(*header);
    header->geometry = *geometry;
    header->region_bytes = layout->region_bytes;
    memcpy(header->part_off, layout->part_off, sizeof(header->part_off));
    memcpy(header->part_bytes, layout->part_bytes, sizeof(header->part_bytes));
    header->table_bytes = layout->table_bytes;
    header->created_wall_us = (uint64_t)MAX(clock_wall_us(), 0);
    rc = ensure_first(region);
    if (rc < 0)
        return rc;
    /* Last: the fence keeps the compiler from storing it before the rest. */
    atomic_signal_fence(memory_order_release);
    header->checksum = header_checksum(header);
    return 0;
}

int
region_create(const char *dir, const struct region_geometry *geometry, struct region **out)
{
    struct region_layout layout;
    struct region *region;
    char path[PATH_BYTES];
    int fd, rc = region_path(dir, path);

    if (rc < 0)
        return rc;
    if (!region_layout(geometry, &layout))
        return -EINVAL;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)layout.region_bytes) < 0) {
        rc = -errno;
        close(fd);
        goto unlink_file;
    }
    rc = allocate(fd, 0, REGION_ALIGN);
    if (rc < 0) {
        close(fd);
        goto unlink_file;
    }
    rc = region_map(fd, layout.region_bytes, &region);
    if (rc < 0)
        goto unlink_file;
    rc = region_fill(region, geometry, &layout);
    if (rc < 0)
        goto detach;
    *out = region;
    return 0;

detach:
    region_detach(region);
unlink_file:
    (void)unlink(path);
    return rc;
}

/* ---- adopting ---- */

static int
check_file(int fd, uint64_t *file_bytes)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
        st.st_nlink != 1)
        return -EPERM;
    if (st.st_size < (off_t)sizeof(struct region_header))
        return -EINVAL;
    *file_bytes = (uint64_t)st.st_size;
    return 0;
}

/* The constant part, of which nothing is believed before it was compared. */
static int
check_constant(const struct region_header *header, uint64_t file_bytes)
{
    struct region_layout layout;
    uint8_t boot_id[16];
    int rc;

    if (header->checksum == 0)
        return -ESTALE; /* its maker died before it was done: nothing is in it */
    if (header->magic != REGION_MAGIC)
        return -EINVAL;
    if (header->layout_version != REGION_LAYOUT_VERSION || header->header_bytes != sizeof(*header))
        return -ESTALE;
    rc = read_boot_id(boot_id);
    if (rc < 0)
        return rc;
    if (memcmp(boot_id, header->boot_id, sizeof(boot_id)) != 0)
        return -ESTALE;
    if (header->checksum != header_checksum(header))
        return -EINVAL;
    if (!region_layout(&header->geometry, &layout))
        return -EINVAL;
    if (memcmp(layout.part_off, header->part_off, sizeof(layout.part_off)) != 0 ||
        memcmp(layout.part_bytes, header->part_bytes, sizeof(layout.part_bytes)) != 0 ||
        layout.table_bytes != header->table_bytes || layout.region_bytes != header->region_bytes ||
        layout.region_bytes != file_bytes)
        return -EINVAL;
    return 0;
}

static uint64_t
ready_bytes(const struct region_header *header, enum region_part part)
{
    return atomic_load_explicit(&header->part_ready[part], memory_order_relaxed);
}

static uint32_t
count_of(const _Atomic uint32_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static bool
count_fits(const struct region_header *header, enum region_part part, uint32_t count, uint32_t max,
           size_t item_bytes)
{
    return count <= max && ((uint64_t)count + 1) * item_bytes <= ready_bytes(header, part);
}

static bool
index_fits(const struct region_header *header)
{
    uint64_t word = atomic_load_explicit(&header->index_current, memory_order_relaxed);
    uint32_t index_class;

    if (word == 0)
        return true;
    if (word >> 1 > KEY_INDEX_CLASS_MAX + 1)
        return false;
    index_class = key_index_class(word);
    if (index_class < KEY_INDEX_CLASS_MIN ||
        index_class > key_index_class_max(header->geometry.key_max))
        return false;
    return key_index_area_off(index_class, key_index_side(word)) +
               (sizeof(uint32_t) << index_class) <=
           ready_bytes(header, REGION_INDEXES);
}

/* What has grown since: within the file, and enough for what is said to be in it. */
static bool
growth_fits(const struct region_header *header)
{
    const struct region_geometry *g = &header->geometry;
    uint64_t tables = atomic_load_explicit(&header->table_ready, memory_order_relaxed);

    for (int part = 0; part < REGION_TABLES; part++) {
        uint64_t ready = ready_bytes(header, (enum region_part)part);

        if (ready > header->part_bytes[part] || ready % REGION_ALIGN != 0)
            return false;
        if (part_is_whole(part) && ready != header->part_bytes[part])
            return false;
    }
    if (g->table_max < 64 && tables >> g->table_max != 0)
        return false;
    return count_fits(header, REGION_ACCOUNTS, count_of(&header->account_count), g->account_max,
                      sizeof(struct account)) &&
           count_fits(header, REGION_BUDGETS, count_of(&header->budget_count), g->budget_max,
                      sizeof(struct budget)) &&
           count_fits(header, REGION_QUOTAS, count_of(&header->quota_count), g->quota_max,
                      sizeof(struct quota)) &&
           count_fits(header, REGION_KEYS, count_of(&header->key_count), g->key_max,
                      sizeof(struct key_slot)) &&
           count_fits(header, REGION_KEY_EXTRAS, count_of(&header->key_extra_count),
                      g->key_extra_max, sizeof(struct key_extra_slot)) &&
           index_fits(header);
}

static int
allocate_again(const struct region *region)
{
    const struct region_header *header = region->header;
    uint64_t tables = atomic_load_explicit(&header->table_ready, memory_order_relaxed);
    int rc = allocate(region->fd, 0, REGION_ALIGN);

    for (int part = 0; rc == 0 && part < REGION_TABLES; part++)
        rc = allocate(region->fd, header->part_off[part],
                      MAX(ready_bytes(header, (enum region_part)part), REGION_ALIGN));
    for (uint32_t i = 0; rc == 0 && i < header->geometry.table_max; i++)
        if (tables >> i & 1)
            rc = allocate(region->fd, table_off(header, i), header->table_bytes);
    return rc;
}

int
region_adopt(const char *dir, struct region **out)
{
    struct region_header *copy = NULL;
    struct region *region;
    uint64_t file_bytes = 0;
    char path[PATH_BYTES];
    int fd, rc = region_path(dir, path);

    if (rc < 0)
        return rc;
    fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ELOOP ? -EPERM : -errno;
    rc = check_file(fd, &file_bytes);
    if (rc < 0)
        goto close_fd;
    /* Read, not mapped: the file may be of any size, and a hole in it is read as zero. */
    copy = aligned_alloc(CACHE_LINE, sizeof(*copy));
    if (copy == NULL) {
        rc = -ENOMEM;
        goto close_fd;
    }
    rc = pread(fd, copy, sizeof(*copy), 0) == (ssize_t)sizeof(*copy) ? 0 : -EINVAL;
    if (rc == 0)
        rc = check_constant(copy, file_bytes);
    if (rc == 0 && !growth_fits(copy))
        rc = -EINVAL;
    free(copy);
    if (rc < 0)
        goto close_fd;
    rc = region_map(fd, file_bytes, &region);
    if (rc < 0)
        return rc;
    rc = allocate_again(region);
    if (rc < 0) {
        region_detach(region);
        return rc;
    }
    *out = region;
    return 0;

close_fd:
    close(fd);
    return rc;
}
