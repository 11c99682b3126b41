/* The schema of a store that nobody has open. */
#include "ledger/peek.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "ledger/db.h"
#include "test/unit/testing.h"

static char dir[] = "/tmp/turnpike-peek-XXXXXX";
static char store[64], data[80];

static void
write_schema(uint32_t version)
{
    struct db_setup setup = {.path = store};
    struct db_txn txn;
    struct db *db;

    assert_int_equal(db_open(&setup, &db), 0);
    assert_int_equal(db_write(db, &txn), 0);
    assert_int_equal(
        db_meta_put(&txn, "schema", (struct str){(const char *)&version, sizeof(version)}), 0);
    assert_int_equal(db_commit(&txn), 0);
    db_close(&db);
}

static void
what_is_there(void **state)
{
    uint32_t schema = 7;
    FILE *file;

    (void)state;
    assert_int_equal(peek_schema(dir, &schema), -ENOENT);
    write_schema(peek_schema_known);
    assert_int_equal(peek_schema(dir, &schema), 0);
    assert_int_equal(schema, peek_schema_known);
    write_schema(peek_schema_known + 1);
    assert_int_equal(peek_schema(dir, &schema), 0);
    assert_int_equal(schema, peek_schema_known + 1);

    file = fopen(data, "w");
    assert_non_null(file);
    assert_true(fputs("no store at all", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_true(peek_schema(dir, &schema) < 0);
}

static int
make(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(store, sizeof(store), "%s/store", dir);
    (void)snprintf(data, sizeof(data), "%s/data.mdb", store);
    return 0;
}

static int
clear(void **state)
{
    char lock[80];

    (void)state;
    (void)snprintf(lock, sizeof(lock), "%s/lock.mdb", store);
    (void)unlink(data);
    (void)unlink(lock);
    (void)rmdir(store);
    return rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_there)};

    return cmocka_run_group_tests(tests, make, clear);
}
