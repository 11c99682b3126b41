/*
 * Backups: what goes in comes out, entry by entry; no byte of the file can be changed, dropped or added
 * unseen; a memory file from before a restore is not adopted over it; a restore that fails at any
 * point leaves what was there.
 */
#include "test/unit/ledger_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "ledger/restore.h"

static struct world w;
static char file[96], state[96], copy[128];
static struct restore restore; /* large */

static void
open_world(void)
{
    world_open(&w);
    snprintf(file, sizeof(file), "%s/backup", w.dir);
    snprintf(state, sizeof(state), "%s/state", w.dir);
    snprintf(copy, sizeof(copy), "%s/copy", w.dir);
    assert_int_equal(mkdir(state, 0700), 0);
    snprintf(w.store_dir, sizeof(w.store_dir), "%s/state/store", w.dir);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", w.dir, 1), 0);
    world_start(&w);
}

static void
some_calls(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t slot;

        assert_int_equal(world_take(&w, i % 2, 1 + i % 2, CREDITS(2), &slot), HOLD_OK);
        world_settle(&w, i % 2, slot, CREDITS(1));
        if (i % 3 == 0)
            assert_int_equal(world_commit(&w), 0);
    }
    assert_int_equal(world_commit(&w), 0);
}

static void
fill(void)
{
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"1000\","
               "\"budget\":\"500/day\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\",\"credit\":\"500\"}}");
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"a\",\"name\":\"k\"}}");
    some_calls(7);
}

static void
take_backup(void)
{
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct js_value answer;
    struct js_error err;

    assert_true(fd >= 0);
    buf_free(&w.answer);
    assert_int_equal(command_run_with(w.ledger, STR("{\"cmd\":\"backup\"}"), "uid 0", fd, &w.answer),
                     0);
    assert_true(js_check(buf_str(&w.answer), &answer, &err));
    assert_true(js_bool(js_get(answer, STR("ok")), false));
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was the command's */
}

static int
run(const char *path, const char *state_dir, bool force)
{
    int rc;

    memset(&restore, 0, sizeof(restore));
    restore.fd = open(path, O_RDONLY | O_CLOEXEC);
    restore.file = path;
    restore.force = force;
    assert_true(restore.fd >= 0);
    rc = restore_run(&restore, state_dir);
    close(restore.fd);
    return rc;
}

static int
verify(const char *path)
{
    char dir[96];
    int rc;

    memset(&restore, 0, sizeof(restore));
    restore.fd = open(path, O_RDONLY | O_CLOEXEC);
    restore.file = path;
    snprintf(dir, sizeof(dir), "%s/scratch", w.dir);
    (void)mkdir(dir, 0700);
    rc = restore_verify(&restore, dir);
    close(restore.fd);
    assert_int_equal(rmdir(dir), 0); /* nothing is left in it */
    return rc;
}

static size_t
read_file(const char *path, uint8_t **bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(*bytes);
    assert_int_equal(read(fd, *bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

static void
write_file(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

/* ---- what goes in comes out ---- */

static void
all_comes_back(void **unused)
{
    struct js_value audit;

    (void)unused;
    open_world();
    fill();
    take_backup();
    some_calls(5); /* after it: not in it */
    world_kill_ledger(&w);
    world_forget_tables(&w);

    assert_int_equal(run(file, state, false), -EEXIST);
    assert_non_null(strstr(restore.fault.why, "not empty"));
    assert_int_equal(run(file, state, true), 0);
    assert_int_equal(restore.about.tenants, 2);
    assert_int_equal(restore.about.calls, 7);
    assert_int_equal(restore.about.records, 7);
    assert_non_null(strstr(restore.aside, "/store.aside-2"));
    assert_false(restore.aside_unsettled);

    world_start(&w);
    audit = world_audit(&w);
    assert_int_equal(money_of(audit, "deposited"), CREDITS(1500));
    assert_int_equal(money_of(audit, "spent"), CREDITS(7));
    assert_int_equal(number_of(audit, "records"), 7);
    assert_int_equal(number_of(ask_ok(&w, "{\"cmd\":\"key.show\",\"args\":{\"id\":1}}"), "id"), 1);
    some_calls(4); /* it goes on, and what goes on is sound */
    audit = world_audit(&w);
    assert_int_equal(money_of(audit, "spent"), CREDITS(11));
    world_kill_ledger(&w);
    world_forget_tables(&w);

    /* What was put aside is a store as good as before, with all that came after the backup. */
    assert_int_equal(region_remove(w.region_dir), 0);
    snprintf(w.store_dir, sizeof(w.store_dir), "%.90s", restore.aside);
    world_start(&w);
    audit = world_audit(&w);
    assert_int_equal(money_of(audit, "spent"), CREDITS(12));
    assert_int_equal(number_of(audit, "records"), 12);
    world_close(&w);
}

/* A backup of a restored store has the same entries, but for those that say that it was restored. */
static void
twice_is_the_same(void **unused)
{
    struct backup_about first;
    char other[80];

    (void)unused;
    open_world();
    fill();
    take_backup();
    assert_int_equal(verify(file), 0);
    first = restore.about;
    world_kill_ledger(&w);
    world_forget_tables(&w);
    snprintf(other, sizeof(other), "%s/other", w.dir);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(run(file, other, false), 0);
    assert_int_equal(restore.aside[0], '\0');
    snprintf(w.store_dir, sizeof(w.store_dir), "%s/store", other);
    assert_int_equal(region_remove(w.region_dir), 0);
    world_start(&w);
    take_backup();
    assert_int_equal(verify(file), 0);
    assert_int_equal(restore.about.seq, first.seq);
    assert_int_equal(restore.about.records, first.records);
    assert_int_equal(restore.about.calls, first.calls);
    assert_memory_not_equal(restore.about.instance_id, first.instance_id, 16);
    world_close(&w);
}

/* ---- memory from before ---- */

/*
 * The disk is lost, the memory file is not: it has calls settled that the backup does not know, and it has
 * applied more than the backup has, or less. Neither may be adopted.
 */
static void
memory_from_before_is_foreign(void **unused)
{
    struct js_value audit;
    uint32_t slot;

    (void)unused;
    open_world();
    fill();
    take_backup();
    assert_int_equal(world_take(&w, 0, 1, CREDITS(5), &slot), HOLD_OK);
    world_settle(&w, 0, slot, CREDITS(3)); /* settled, and never committed */
    world_kill_ledger(&w);
    snprintf(copy, sizeof(copy), "%s/lost", state);
    assert_int_equal(rename(w.store_dir, copy), 0);

    assert_int_equal(run(file, state, false), 0);
    assert_int_equal(world_try_start(&w), -ESTALE);
    /* As the master does then. */
    world_power_cut(&w);
    world_start(&w);
    audit = world_audit(&w);
    assert_int_equal(money_of(audit, "spent"), CREDITS(7));
    assert_int_equal(money_of(audit, "held"), 0);
    assert_int_equal(money_of(audit, "available"), CREDITS(1493));
    world_close(&w);
}

/* ---- damage ---- */

static void
no_byte_can_change(void **unused)
{
    uint8_t *bytes;
    uint64_t rng = world_seed();
    size_t len;
    char text[64];

    (void)unused;
    open_world();
    fill();
    take_backup();
    len = read_file(file, &bytes);
    assert_true(len > 2000);
    for (size_t at = 0; at < len; at += at < 100 || at + 100 > len ? 1 : 1 + rng_next(&rng) % 9) {
        uint8_t flip = (uint8_t)(1u << rng_next(&rng) % 8);

        bytes[at] ^= flip;
        write_file(copy, bytes, len);
        bytes[at] ^= flip;
        if (verify(copy) != -EILSEQ && restore.fault.what[0] == '\0')
            print_error("a flip of %02x at %zu was not seen\n", flip, at);
        assert_non_null(restore.fault.why);
        assert_non_null(strstr(restore.fault.why, "damaged at byte"));
    }
    for (size_t cut = 0; cut < len; cut += 1 + rng_next(&rng) % 97) {
        write_file(copy, bytes, cut);
        assert_int_equal(verify(copy), -EILSEQ);
    }
    bytes[len] = 'x';
    write_file(copy, bytes, len + 1);
    assert_int_equal(verify(copy), -EILSEQ);
    snprintf(text, sizeof(text), "damaged at byte %zu: something follows", len);
    assert_non_null(strstr(restore.fault.why, text));
    write_file(copy, bytes, len);
    assert_int_equal(verify(copy), 0);
    free(bytes);
    world_close(&w);
}

/* With right hashes, as somebody may make them: books that do not balance, entries out of order. */
static void
books_are_looked_at(void **unused)
{
    struct backup_in in;
    struct backup_out out;
    struct str key, value;
    enum db_table table_of[DB_TABLE_COUNT];
    unsigned table_count;
    struct backup_about about;
    uint8_t table;
    int from, to;

    (void)unused;
    open_world();
    fill();
    take_backup();
    for (int variant = 0; variant < 3; variant++) {
        from = open(file, O_RDONLY | O_CLOEXEC);
        to = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        backup_in_start(&in, from);
        backup_out_start(&out, to, NULL, NULL);
        assert_int_equal(backup_in_frame(&in), 0);
        assert_int_equal(backup_about_read(in.payload, &about, table_of, &table_count), 0);
        assert_int_equal(backup_out_note(&out, BACKUP_HEAD, in.payload), 0);
        while (backup_in_frame(&in) == 0 && in.kind == BACKUP_DATA)
            while (backup_in_entry(&in, &table, &key, &value)) {
                struct db_wallet wallet;

                if (table == DB_WALLET && variant == 0) {
                    memcpy(&wallet, value.ptr, sizeof(wallet));
                    wallet.spent_ucr++;
                    value = (struct str){(const char *)&wallet, sizeof(wallet)};
                }
                if (table == DB_TENANT && variant == 1)
                    continue;
                assert_int_equal(backup_out_entry(&out, table, key, value), 0);
                if (table == DB_WALLET && variant == 2)
                    assert_int_equal(backup_out_entry(&out, table, key, value), 0);
            }
        char end[64];
        snprintf(end, sizeof(end), "{\"entries\":%llu}", (unsigned long long)out.entries);
        assert_int_equal(backup_out_note(&out, BACKUP_END, str_from(end)), 0);
        backup_out_end(&out);
        backup_in_end(&in);
        close(from);
        close(to);
        assert_int_equal(verify(copy), -EILSEQ);
        assert_non_null(strstr(restore.fault.why, variant == 0   ? "spent against records of 1"
                                                  : variant == 1 ? "not what its beginning says"
                                                                 : "out of order"));
    }
    world_close(&w);
}

/* ---- giving up ---- */

static bool
stop_at_once(void *arg)
{
    (void)arg;
    return true;
}

static bool
give_up(void *arg, uint64_t done_bytes, uint64_t about_bytes)
{
    (void)arg, (void)done_bytes, (void)about_bytes;
    return false;
}

static void
giving_up_leaves_nothing(void **unused)
{
    struct backup_out out;
    char incoming[192];
    int fd;

    (void)unused;
    open_world();
    fill();
    take_backup();
    fd = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    backup_out_start(&out, fd, stop_at_once, NULL);
    assert_int_equal(backup_out_note(&out, BACKUP_HEAD, STR("{}")), -ECANCELED);
    backup_out_end(&out);
    close(fd);
    world_kill_ledger(&w);
    world_forget_tables(&w);

    memset(&restore, 0, sizeof(restore));
    restore.fd = open(file, O_RDONLY | O_CLOEXEC);
    restore.file = file;
    restore.force = true;
    restore.on_progress = give_up;
    assert_int_equal(restore_run(&restore, state), -ECANCELED);
    close(restore.fd);
    snprintf(incoming, sizeof(incoming), "%s.incoming", w.store_dir);
    assert_int_equal(access(incoming, F_OK), -1);
    world_start(&w);
    assert_int_equal(money_of(world_audit(&w), "spent"), CREDITS(7));

    /* Who works on it is not disturbed. */
    assert_int_equal(region_lock_ledger(w.region), 0);
    assert_int_equal(run(file, state, true), -EBUSY);
    world_close(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_back),
        cmocka_unit_test(twice_is_the_same),
        cmocka_unit_test(memory_from_before_is_foreign),
        cmocka_unit_test(no_byte_can_change),
        cmocka_unit_test(books_are_looked_at),
        cmocka_unit_test(giving_up_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
