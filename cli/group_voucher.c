#include "cli/table.h"

#include <stdio.h>

#include "base/str.h"
#include "cli/content.h"

/* ---- how answers are shown ---- */

static const struct print_column batch_fields[] = {
    {"batch", "batch", false},     {"label", "label", false},   {"amount", "each", false},
    {"expires", "until", false},   {"days", "days", false},     {"per_tenant", "per tenant", false},
    {"count", "codes", false},     {"used", "redeemed", false}, {"voided", "void", false},
    {"left", "left", false},       PRINT_END,
};

static void
show_batch(struct js_value result)
{
    print_fields(result, batch_fields);
}

/* The codes are the output, a line each, to be kept by whoever asked; what the batch is goes beside it. */
static void
show_created(struct js_value result)
{
    struct js_value key, code;
    struct js_iter it;

    fprintf(stderr, "batch %.*s: %.*s each; the codes are shown this one time\n",
            STR_ARGS(js_get(result, STR("batch")).raw), STR_ARGS(js_get(result, STR("amount")).raw));
    for (js_iter_init(&it, js_get(result, STR("codes"))); js_next(&it, &key, &code);)
        printf("%.*s\n", STR_ARGS(code.raw));
}

static void
show_batches(struct js_value result)
{
    static const struct print_column columns[] = {
        {"batch", "BATCH", true},     {"label", "LABEL", false}, {"amount", "EACH", true},
        {"created", "CREATED", false}, {"expires", "UNTIL", false}, {"count", "CODES", true},
        {"used", "REDEEMED", true},   {"voided", "VOID", true},  {"left", "LEFT", true},
        PRINT_END,
    };

    print_table(js_get(result, STR("batches")), columns, "no redemption codes");
}

static void
show_uses(struct js_value result)
{
    static const struct print_column columns[] = {
        {"number", "CODE", true}, {"name", "TENANT", false}, {"time", "TIME", false}, {"grant", "GRANT", true},
        PRINT_END,
    };

    print_fields(result, batch_fields);
    printf("\n");
    print_table(js_get(result, STR("uses")), columns, "none was redeemed");
}

static void
show_redeemed(struct js_value result)
{
    static const struct print_column fields[] = {
        {"tenant", "tenant", false}, {"amount", "amount", false}, {"grant", "grant", false},
        {"expires", "expires", false}, PRINT_END,
    };

    print_fields(result, fields);
}

/* ---- options ---- */

static const struct cli_option create_options[] = {
    {"--count", "N", "count", CLI_COUNT, "so many codes, 1 to 10000; 1 unless told"},
    {"--label", "TEXT", "label", CLI_TEXT, "what you call the batch"},
    {"--expires", "TIME", "expires", CLI_TEXT, "redeemable until then; for good unless told"},
    {"--days", "N", "days", CLI_COUNT, "the credit expires so many days after it was redeemed"},
    {"--per-tenant", "N", "per_tenant", CLI_COUNT, "so many a tenant may redeem; 1 unless told, 0: any number"},
    CLI_NO_OPTION,
};
static const struct cli_option void_options[] = {
    {"--number", "N", "number", CLI_COUNT, "this one alone; all that are open unless told"},
    CLI_NO_OPTION,
};
static const struct cli_option redeem_options[] = {
    {"--file", "FILE", "code", CLI_CONTENT, "the file that has the code; - is standard input; must be told"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "voucher", .verb = "create", .cmd = "voucher.create", .arguments = {{"AMOUNT", "amount"}},
     .options = create_options, .summary = "make redemption codes, shown this one time", .show = show_created},
    {.noun = "voucher", .verb = "list", .cmd = "voucher.list", .summary = "batches of redemption codes",
     .pages = true, .show = show_batches},
    {.noun = "voucher", .verb = "show", .cmd = "voucher.show", .arguments = {{"BATCH", "batch"}},
     .summary = "a batch, and who redeemed its codes", .pages = true, .show = show_uses},
    {.noun = "voucher", .verb = "void", .cmd = "voucher.void", .arguments = {{"BATCH", "batch"}},
     .options = void_options, .summary = "codes that are open cannot be redeemed any more", .show = show_batch},
    {.noun = "voucher", .verb = "redeem", .cmd = "voucher.redeem", .arguments = {CLI_TENANT},
     .options = redeem_options, .summary = "a code's credit becomes a tenant's", .show = show_redeemed},
    {.noun = NULL},
};

const struct cli_group cli_group_voucher = {"turnpike-voucher(1)", commands};
