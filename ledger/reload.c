#include "ledger/reload.h"

#include "base/buf.h"
#include "base/log.h"

#include <errno.h>

#define PRICES_BYTES_MAX (64u << 20)

/* Before a worker can put this version into a record. */
static int
keep_prices(struct ledger *ledger, const struct conf *conf)
{
    struct buf json;
    int rc;

    buf_init(&json, PRICES_BYTES_MAX);
    conf_prices_json(conf, &json);
    rc = json.failed ? -ENOMEM : ledger_keep_prices(ledger, conf->price_version, buf_str(&json));
    buf_free(&json);
    return rc;
}

int
reload_keep(struct reload *reload, struct ledger *ledger, const struct ledger_word *word, bool *kept)
{
    struct conf_faults faults;
    int rc = 0;

    *kept = false;
    reload_drop(reload);
    if (reload->path == NULL)
        return 0;
    reload->kept = conf_reload(reload->path, ledger->conf, &faults);
    conf_faults_free(&faults); /* the master told them */
    if (reload->kept == NULL || reload->kept->text_hash != word->text_hash ||
        reload->kept->price_version != word->price_version) {
        log_warn("reload.another-text", "generation=%u", word->generation);
        reload_drop(reload);
        return 0;
    }
    rc = keep_prices(ledger, reload->kept);
    if (rc == 0)
        rc = publish_names_for(ledger, reload->kept);
    *kept = rc == 0;
    return rc;
}

void
reload_take(struct reload *reload, struct ledger *ledger)
{
    struct conf *before = reload->own;

    if (reload->kept == NULL)
        return;
    /* Queries that look at the old one end in milliseconds. */
    pthread_rwlock_wrlock(&ledger->conf_lock);
    ledger->conf = reload->own = reload->kept;
    pthread_rwlock_unlock(&ledger->conf_lock);
    reload->kept = NULL;
    conf_free(&before);
}

void
reload_drop(struct reload *reload)
{
    conf_free(&reload->kept);
}
