/* Operations about redemption codes: the platform makes them, tenants redeem them. */
#include "manage/ops.h"

#define READ .perm = PERM_PLATFORM_READ
#define WRITE .perm = PERM_PLATFORM_WRITE

static const struct op_refusal redeem_refusals[] = {{409, "no_voucher"}, {429, "too_many"}, {0, NULL}};

static const struct field batch_path[] = {
    {"batch", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The batch's number."},
    {NULL},
};
static const struct field batch_create[] = {
    {"amount", .type = FIELD_CREDITS, .required = true, .example = "\"25\"", .doc = "What each code is worth."},
    {"count", .type = FIELD_INT, .min = 1, .max = 10000, .example = "2", .doc = "How many codes; 1 when not said."},
    {"label", .type = FIELD_STRING, .max = 96, .example = "\"launch\"", .doc = "What people call the batch."},
    {"expires", .type = FIELD_TIME, .doc = "Until when they can be redeemed; for good when not said."},
    {"days", .type = FIELD_INT, .max = 3660, .example = "90",
     .doc = "The credit expires so many days after a code was redeemed; 0, or not said: never."},
    {"per_tenant", .type = FIELD_INT, .max = 10000,
     .doc = "How many of the batch one tenant may redeem; 1 when not said, 0: any number."},
    {NULL},
};
static const struct field void_body[] = {
    {"number", .type = FIELD_ID, .example = "1", .doc = "One code of the batch; all that are open when not said."},
    {NULL},
};
static const struct field redeem_body[] = {
    {"code", .type = FIELD_SECRET, .required = true, .min = 1, .max = 128,
     .example = "\"VQ3D-0000-0000-0000-0000-0000-0000\"", .doc = "The code; case, hyphens and spaces do not matter."},
    {NULL},
};

#define BATCH_MEMBERS                                                                                         \
    {"batch", .type = FIELD_ID, .doc = "Its number."},                                                        \
        {"label", .type = FIELD_STRING, .doc = "What people call it."},                                       \
        {"amount", .type = FIELD_CREDITS, .doc = "What each code is worth."},                                 \
        {"created", .type = FIELD_TIME, .doc = "When it was made."},                                          \
        {"expires", .type = FIELD_TIME, .nullable = true, .doc = "Until when codes can be redeemed."},        \
        {"days", .type = FIELD_INT, .doc = "The credit expires so many days after; 0: never."},               \
        {"per_tenant", .type = FIELD_INT, .doc = "How many one tenant may redeem; 0: any number."},           \
        {"count", .type = FIELD_INT, .doc = "How many codes it had."},                                        \
        {"used", .type = FIELD_INT, .doc = "How many were redeemed."},                                        \
        {"voided", .type = FIELD_INT, .doc = "How many were voided."},                                        \
    {                                                                                                         \
        "left", .type = FIELD_INT, .doc = "How many are open."                                                \
    }
static const struct field batch_members[] = {BATCH_MEMBERS, {NULL}};
static const struct field batch_created_members[] = {
    BATCH_MEMBERS,
    {"codes", .type = FIELD_STRINGS, .optional = true,
     .doc = "The codes, told this one time; a repeated request is answered without them."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
static const struct field batches_members[] = {
    {"batches", .type = FIELD_OBJECTS, .ref = "VoucherBatch", .doc = "All of them."},
    {NULL},
};
static const struct field use_members[] = {
    {"number", .type = FIELD_ID, .doc = "The code's number in its batch."},
    {"tenant", .type = FIELD_ID, .doc = "Who redeemed it."},
    {"name", .type = FIELD_STRING, .doc = "The tenant's name."},
    {"time", .type = FIELD_TIME, .doc = "When."},
    {"grant", .type = FIELD_ID, .doc = "The credit's number."},
    {NULL},
};
static const struct field batch_uses_members[] = {
    BATCH_MEMBERS,
    {"uses", .type = FIELD_OBJECTS, .members = use_members, .doc = "Who redeemed which of its codes."},
    {NULL},
};
static const struct field redeemed_members[] = {
    {"tenant", .type = FIELD_ID, .doc = "Whose the credit is."},
    {"amount", .type = FIELD_CREDITS, .doc = "How much it is."},
    {"grant", .type = FIELD_ID, .doc = "The credit's number, as receipts name it."},
    {"expires", .type = FIELD_TIME, .nullable = true, .doc = "When what is left of it is taken back; null: never."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};

const struct schema schemas_vouchers[] = {
    {"VoucherBatch", "Redemption codes of one kind.", batch_members},
    {"VoucherBatchCreated", "The same with its codes.", batch_created_members},
    {"VoucherBatches", "All batches.", batches_members},
    {"VoucherBatchUses", "A batch, and who redeemed its codes.", batch_uses_members},
    {"Redeemed", "What a code was worth.", redeemed_members},
    {NULL},
};

const struct op ops_vouchers[] = {
    {.id = "vouchers.redeem", .method = "POST", .path = "/api/v1/vouchers/redeem", .perm = PERM_BILLING_WRITE,
     .scopes = SCOPE_MANAGE, .flags = OP_AUTH, .body = redeem_body, .result = "Redeemed",
     .refusals = redeem_refusals, .command = "voucher.redeem", .doc = "Redeems a code: its credit is the tenant's."},
    {.id = "platform.vouchers.list", .method = "GET", .path = "/api/v1/platform/vouchers", READ,
     .result = "VoucherBatches", .command = "voucher.list", .doc = "All batches of redemption codes."},
    {.id = "platform.vouchers.create", .method = "POST", .path = "/api/v1/platform/vouchers", WRITE,
     .body = batch_create, .result = "VoucherBatchCreated", .status = 201, .command = "voucher.create",
     .doc = "Makes a batch of redemption codes, which are shown once."},
    {.id = "platform.vouchers.show", .method = "GET", .path = "/api/v1/platform/vouchers/{batch}", READ,
     .params = batch_path, .result = "VoucherBatchUses", .command = "voucher.show",
     .doc = "A batch, and who redeemed its codes."},
    {.id = "platform.vouchers.void", .method = "POST", .path = "/api/v1/platform/vouchers/{batch}/void", WRITE,
     .params = batch_path, .body = void_body, .result = "VoucherBatch", .command = "voucher.void",
     .doc = "Voids a code, or all of a batch that are open; what was redeemed stays."},
    {NULL},
};
