#include "ledger/peek.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ledger/db.h"
#include "ledger/db_lmdb.h"

const uint32_t peek_schema_known = DB_SCHEMA_VERSION;

static int
schema_read(MDB_env *env, uint32_t *schema)
{
    MDB_val key = {sizeof("schema") - 1, (char *)(uintptr_t)"schema"}, value;
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc != 0)
        return db_rc(rc);
    rc = mdb_dbi_open(txn, "meta", 0, &dbi);
    if (rc == 0)
        rc = mdb_get(txn, dbi, &key, &value);
    if (rc == 0 && value.mv_size == sizeof(*schema))
        memcpy(schema, value.mv_data, sizeof(*schema));
    else if (rc == 0)
        rc = EILSEQ;
    mdb_txn_abort(txn);
    return db_rc(rc);
}

int
peek_schema(const char *state_dir, uint32_t *schema)
{
    char path[4096];
    MDB_env *env;
    int rc;

    if (snprintf(path, sizeof(path), "%s/store/data.mdb", state_dir) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (access(path, R_OK) != 0)
        return -errno;
    *strrchr(path, '/') = '\0';
    rc = mdb_env_create(&env);
    if (rc != 0)
        return db_rc(rc);
    rc = mdb_env_set_maxdbs(env, DB_TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK, 0600);
    rc = rc == 0 ? schema_read(env, schema) : db_rc(rc);
    mdb_env_close(env);
    return rc;
}
