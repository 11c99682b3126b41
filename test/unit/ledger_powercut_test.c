/*
 * The power is cut at any moment. All writes and syncs of the store's file are recorded while calls
 * are settled and credit is granted; then, for every moment of the record, a file is made of what must
 * be on the disk by then and of some, none or all of what may be, whole or torn between sectors. Each
 * such file is opened and audited: whatever was acknowledged before that moment is there, once, and the
 * books balance.
 *
 * The functions that the store writes with are our own here: the library's calls end up in them.
 */
#include "test/unit/ledger_world.h"

#include "ledger/retention.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SECTOR 512u
#define OPS_MAX 8192
#define IMAGE_BYTES (8u << 20)

enum op_kind { OP_WRITE = 0, OP_SYNC };

struct op {
    enum op_kind kind;
    bool durable; /* written through a descriptor that syncs by itself */
    size_t off, len;
    uint8_t *bytes;
};

/* What had been said to somebody when so many operations were done. */
struct ack {
    size_t op;
    int64_t deposited, spent;
    uint64_t transfers, records;
};

static struct {
    bool on;
    ino_t ino;
    dev_t dev;
    struct op ops[OPS_MAX];
    size_t count;
    size_t born; /* operations done when the store got its name */
    struct ack acks[OPS_MAX];
    size_t ack_count;
} tape;

static struct world w;

/* ---- recording ---- */

static bool
ours(int fd)
{
    struct stat st;

    if (!tape.on || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    if (tape.ino == 0) {
        char link[64], path[512] = "";
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n <= 0 || strstr(path, "data.mdb") == NULL)
            return false;
        tape.ino = st.st_ino;
        tape.dev = st.st_dev;
    }
    return st.st_ino == tape.ino && st.st_dev == tape.dev;
}

static void
record(enum op_kind kind, int fd, const void *bytes, size_t len, size_t off)
{
    struct op *op = &tape.ops[tape.count];

    if (tape.count == OPS_MAX)
        abort();
    *op = (struct op){.kind = kind, .off = off, .len = len};
    if (kind == OP_WRITE) {
        op->durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
        op->bytes = malloc(len);
        memcpy(op->bytes, bytes, len);
    }
    tape.count++;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t off)
{
    ssize_t n = REAL(pwrite)(fd, bytes, len, off);

    if (n > 0 && ours(fd))
        record(OP_WRITE, fd, bytes, (size_t)n, (size_t)off);
    return n;
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
    bool mine = ours(fd);
    off_t off = mine ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = REAL(writev)(fd, iov, count);

    for (ssize_t left = n; mine && left > 0; iov++) {
        size_t len = MIN(iov->iov_len, (size_t)left);

        record(OP_WRITE, fd, iov->iov_base, len, (size_t)off);
        off += (off_t)len;
        left -= (ssize_t)len;
    }
    return n;
}

int
fdatasync(int fd)
{
    int rc = REAL(fdatasync)(fd);

    if (rc == 0 && ours(fd))
        record(OP_SYNC, fd, NULL, 0, 0);
    return rc;
}

int
fsync(int fd)
{
    int rc = REAL(fsync)(fd);

    if (rc == 0 && ours(fd))
        record(OP_SYNC, fd, NULL, 0, 0);
    return rc;
}

int
rename(const char *from, const char *to)
{
    int rc = REAL(rename)(from, to);

    if (rc == 0 && tape.on && tape.born == 0)
        tape.born = tape.count;
    return rc;
}

/* ---- a life to record ---- */

static void
acknowledge(void)
{
    struct ack *ack = &tape.acks[tape.ack_count++];
    int64_t sum = 0;

    for (unsigned i = 0; i < TRANSFER_PLAIN_COUNT; i++)
        sum -= w.ledger->tail.source_ucr[i];
    *ack = (struct ack){
        .op = tape.count,
        .deposited = sum,
        .spent = w.ledger->tail.revenue_ucr,
        .transfers = w.ledger->tail.transfer_count,
        .records = w.ledger->tail.record_count,
    };
}

static void
live(uint64_t *rng)
{
    char request[200];

    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\","
               "\"budget\":\"900/day\"}}");
    acknowledge();
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"50\"}}");
    acknowledge();
    for (int round = 0; round < 28; round++) {
        unsigned calls = (unsigned)(rng_next(rng) % 30);

        for (unsigned i = 0; i < calls; i++) {
            uint32_t slot;

            if (world_take(&w, 0, 1 + (uint32_t)(rng_next(rng) % 2), 1000000, &slot) == HOLD_OK)
                world_settle(&w, 0, slot, (int64_t)(rng_next(rng) % 1000000));
        }
        assert_int_equal(world_commit(&w), 0);
        acknowledge();
        snprintf(request, sizeof(request),
                 "{\"cmd\":\"credit.%s\",\"args\":{\"tenant\":\"%c\",\"amount\":\"3.5\","
                 "\"ref\":\"r%d\"}}",
                 round % 5 == 4 ? "deduct" : "grant", "ab"[round % 2], round);
        ask_ok(&w, request);
        acknowledge();
        if (round % 7 == 6) {
            const struct retention keep = {.age_us = UINT64_C(36000000000)};
            bool more;

            assert_int_equal(retention_step(w.ledger, &keep, &more), 0);
        }
        w.wall_us += INT64_C(7200000000);
    }
}

/* ---- and its deaths ---- */

static void
apply(uint8_t *image, size_t *len, const struct op *op, uint64_t *rng, bool torn)
{
    if (op->kind != OP_WRITE)
        return;
    if (op->off + op->len > IMAGE_BYTES)
        abort();
    for (size_t at = 0; at < op->len;) {
        size_t part = MIN(SECTOR - (op->off + at) % SECTOR, op->len - at);

        if (!torn || rng_next(rng) % 2 == 0) {
            memcpy(image + op->off + at, op->bytes + at, part);
            *len = MAX(*len, op->off + at + part);
        }
        at += part;
    }
}

/* What must be there at least when so many operations are done. */
static const struct ack *
ack_at(size_t ops)
{
    const struct ack *last = NULL;

    for (size_t i = 0; i < tape.ack_count && tape.acks[i].op <= ops; i++)
        last = &tape.acks[i];
    return last;
}

static void
open_and_audit(const uint8_t *image, size_t len, size_t moment)
{
    const struct ack *ack = ack_at(moment);
    char path[160];
    struct js_value audit;
    const struct db_tail *tail;
    int fd, rc;

    world_power_cut(&w);
    snprintf(path, sizeof(path), "%s/lock.mdb", w.store_dir);
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/data.mdb", w.store_dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(REAL(pwrite)(fd, image, len, 0), len);
    close(fd);
    rc = world_try_start(&w);
    if (rc != 0)
        print_error("cannot be opened at operation %zu of %zu: %d\n", moment, tape.count, rc);
    assert_int_equal(rc, 0);
    assert_int_equal(region_adopt(w.region_dir, &w.workers), 0);
    audit = world_audit(&w);
    tail = &w.ledger->tail;
    if (ack == NULL)
        return;
    assert_true(tail->transfer_count >= ack->transfers);
    assert_true(tail->record_count >= ack->records);
    assert_true(money_of(audit, "spent") >= ack->spent);
    if (tail->transfer_count == ack->transfers)
        assert_int_equal(money_of(audit, "deposited"), ack->deposited);
    if (tail->record_count == ack->records)
        assert_int_equal(money_of(audit, "spent"), ack->spent);
    /* Never more than one step ahead of what was said. */
    assert_true(tail->transfer_count <= ack->transfers + 1);
}

static void
one_moment(size_t moment, const uint8_t *durable, size_t durable_len, size_t synced, uint64_t *rng,
           unsigned variants)
{
    uint8_t *image = malloc(IMAGE_BYTES);

    for (unsigned v = 0; v < variants; v++) {
        size_t len = durable_len;

        memcpy(image, durable, IMAGE_BYTES);
        for (size_t i = synced; i < moment; i++) {
            const struct op *op = &tape.ops[i];

            if (op->durable || v == 0)
                continue; /* in the image already; or nothing else got there */
            if (v == 1 || rng_next(rng) % 2 == 0)
                apply(image, &len, op, rng, v > 2);
        }
        open_and_audit(image, len, moment);
    }
    free(image);
}

static void
cut_at_every_moment(void **state)
{
    uint64_t rng = world_seed();
    uint8_t *durable = calloc(1, IMAGE_BYTES);
    size_t durable_len = 0, synced = 0;

    (void)state;
    world_open(&w);
    tape.on = true;
    world_start(&w);
    live(&rng);
    tape.on = false;
    print_message("%zu operations\n", tape.count);
    assert_true(tape.count > 150);
    assert_true(tape.born > 0 && tape.born < 40);
    for (size_t moment = 0; moment <= tape.count; moment++) {
        if (moment >= tape.born)
            one_moment(moment, durable, durable_len, synced, &rng, moment % 4 == 0 ? 6 : 4);
        if (moment == tape.count)
            break;
        /* This operation is done: a sync makes all before it durable, and some writes are so at once. */
        if (tape.ops[moment].kind == OP_SYNC) {
            for (; synced <= moment; synced++)
                apply(durable, &durable_len, &tape.ops[synced], &rng, false);
        } else if (tape.ops[moment].durable) {
            apply(durable, &durable_len, &tape.ops[moment], &rng, false);
        }
    }
    free(durable);
    for (size_t i = 0; i < tape.count; i++)
        free(tape.ops[i].bytes);
    world_close(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cut_at_every_moment)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
