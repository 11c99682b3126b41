/* Operations about orders: what a tenant buys credit by, and what of it people decide. */
#include "manage/ops.h"

#define READ .perm = PERM_PLATFORM_READ
#define WRITE .perm = PERM_PLATFORM_WRITE

static const char *const currency_values[] = {"USD", "CNY", NULL};
static const char *const provider_values[] = {"bank", NULL};
static const char *const state_values[] = {"created", "pending", "credited", "review", "expired", "failed",
                                           "cancelled", "frozen", NULL};
static const char *const mode_values[] = {"live", "test", NULL};

static const struct op_refusal conflicts[] = {{409, "conflict"}, {0, NULL}};

static const struct field order_path[] = {
    {"order", IN_PATH, FIELD_STRING, .required = true, .min = 26, .max = 26, .example = "\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"",
     .doc = "The order's ID."},
    {NULL},
};
static const struct field orders_query[] = {
    {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 100, .doc = "How many; 100 when not said."},
    {"after", IN_QUERY, FIELD_STRING, .min = 26, .max = 26, .doc = "Where the page before this ended: its next."},
    {NULL},
};
static const struct field tenant_orders_query[] = {
    {"tenant", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The tenant's number."},
    {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 100, .doc = "How many; 100 when not said."},
    {"after", IN_QUERY, FIELD_STRING, .min = 26, .max = 26, .doc = "Where the page before this ended: its next."},
    {NULL},
};
static const struct field order_create[] = {
    {"provider", .type = FIELD_ENUM, .required = true, .values = provider_values, .example = "\"bank\"",
     .doc = "How it is paid: bank, a transfer that names the order."},
    {"currency", .type = FIELD_ENUM, .required = true, .values = currency_values, .example = "\"USD\"",
     .doc = "The money's."},
    {"amount", .type = FIELD_INT, .required = true, .min = 1, .example = "2000",
     .doc = "How much, in the currency's minor unit: cents, fen."},
    {NULL},
};
static const struct field confirm_body[] = {
    {"currency", .type = FIELD_ENUM, .required = true, .values = currency_values, .example = "\"USD\"",
     .doc = "What came: its currency."},
    {"amount", .type = FIELD_INT, .required = true, .min = 1, .example = "2000",
     .doc = "How much, in the currency's minor unit."},
    {"bank_ref", .type = FIELD_STRING, .required = true, .min = 1, .max = 200, .example = "\"T-1\"",
     .doc = "The bank's own reference: each transfer is one order's."},
    {NULL},
};
static const struct field resolve_body[] = {
    {"credit", .type = FIELD_BOOL, .required = true, .example = "false",
     .doc = "Credits it as it was asked for; false: not at all."},
    {"note", .type = FIELD_STRING, .required = true, .min = 1, .max = 200, .example = "\"sent back\"",
     .doc = "Why: it is kept with the order."},
    {NULL},
};

static const struct field step_members[] = {
    {"time", .type = FIELD_TIME, .doc = "When."},
    {"state", .type = FIELD_ENUM, .values = state_values, .doc = "To which state."},
    {"note", .type = FIELD_STRING, .doc = "Why."},
    {NULL},
};
#define ORDER_MEMBERS                                                                                         \
    {"order", .type = FIELD_STRING, .doc = "Its ID, which who pays names."},                                  \
        {"tenant", .type = FIELD_ID, .doc = "Whose it is."},                                                  \
        {"provider", .type = FIELD_STRING, .doc = "How it is paid."},                                         \
        {"mode", .type = FIELD_ENUM, .values = mode_values, .doc = "Whether it is about real money."},        \
        {"state", .type = FIELD_ENUM, .values = state_values, .doc = "How far it is."},                       \
        {"late", .type = FIELD_BOOL, .doc = "Money came when it had expired."},                               \
        {"currency", .type = FIELD_ENUM, .values = currency_values, .doc = "The money's."},                   \
        {"amount_minor", .type = FIELD_INT, .doc = "How much, in the currency's minor unit."},                \
        {"credits", .type = FIELD_CREDITS, .doc = "What it credits."},                                        \
        {"bonus", .type = FIELD_CREDITS, .doc = "What comes with it."},                                       \
        {"plan", .type = FIELD_STRING, .nullable = true, .doc = "The plan that it buys."},                    \
        {"promo", .type = FIELD_STRING, .nullable = true, .doc = "The promotion code."},                      \
        {"created", .type = FIELD_TIME, .doc = "When it was made."},                                          \
        {"expires", .type = FIELD_TIME, .nullable = true, .doc = "Until when money is waited for."},          \
        {"credited", .type = FIELD_TIME, .nullable = true, .doc = "When it was credited."},                   \
        {"ref", .type = FIELD_STRING, .nullable = true, .doc = "What the provider calls it."},                \
        {"payment", .type = FIELD_STRING, .nullable = true, .doc = "What the provider calls the payment."},   \
        {"url", .type = FIELD_STRING, .nullable = true, .doc = "Where the payer goes."},                      \
        {"qr", .type = FIELD_STRING, .nullable = true, .doc = "What the payer scans."},                       \
        {"refunded_minor", .type = FIELD_INT, .doc = "How much went back."},                                  \
        {"timeline", .type = FIELD_OBJECTS, .members = step_members, .doc = "What became of it."},            \
        {"bank", .type = FIELD_STRING, .optional = true, .doc = "Of a transfer: where the money goes."},      \
        {"result", .type = FIELD_STRING, .optional = true, .doc = "Of a confirmation: what came of it."},     \
    {                                                                                                         \
        "repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."                   \
    }
static const struct field order_members[] = {ORDER_MEMBERS, {NULL}};
static const struct field orders_members[] = {
    {"orders", .type = FIELD_OBJECTS, .ref = "Order", .doc = "The newest first."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {NULL},
};
static const struct field review_members[] = {
    {"number", .type = FIELD_INT, .doc = "Its number."},
    {"time", .type = FIELD_TIME, .doc = "When it came."},
    {"why", .type = FIELD_STRING, .doc = "What does not fit."},
    {"provider", .type = FIELD_STRING, .doc = "Who said it."},
    {"event", .type = FIELD_STRING, .doc = "What was said."},
    {"event_id", .type = FIELD_STRING, .doc = "What the provider calls it."},
    {"order", .type = FIELD_STRING, .doc = "About which order."},
    {"payment", .type = FIELD_STRING, .doc = "About which payment."},
    {"currency", .type = FIELD_STRING, .doc = "Of the money."},
    {"amount_minor", .type = FIELD_INT, .doc = "How much; -1: it did not say."},
    {NULL},
};
static const struct field reviews_members[] = {
    {"reviews", .type = FIELD_OBJECTS, .members = review_members, .doc = "The newest first, a hundred at most."},
    {NULL},
};

const struct schema schemas_orders[] = {
    {"Order", "An attempt to pay for credit.", order_members},
    {"Orders", "A page of orders.", orders_members},
    {"Reviews", "What providers said that a person has to look at.", reviews_members},
    {NULL},
};

const struct op ops_orders[] = {
    {.id = "orders.list", .method = "GET", .path = "/api/v1/orders", .perm = PERM_BILLING_READ, .scopes = SCOPE_MANAGE,
     .params = orders_query, .result = "Orders", .command = "order.list", .doc = "The tenant's orders."},
    {.id = "orders.create", .method = "POST", .path = "/api/v1/orders", .perm = PERM_BILLING_WRITE,
     .scopes = SCOPE_MANAGE, .body = order_create, .result = "Order", .status = 201, .refusals = conflicts,
     .command = "order.create", .doc = "Orders credit."},
    {.id = "orders.show", .method = "GET", .path = "/api/v1/orders/{order}", .perm = PERM_BILLING_READ,
     .scopes = SCOPE_MANAGE, .params = order_path, .result = "Order", .command = "order.show", .doc = "One order."},
    {.id = "orders.cancel", .method = "POST", .path = "/api/v1/orders/{order}/cancel", .perm = PERM_BILLING_WRITE,
     .scopes = SCOPE_MANAGE, .params = order_path, .result = "Order", .refusals = conflicts, .command = "order.cancel",
     .doc = "Cancels an order for which no money came. Money that comes all the same credits it."},
    {.id = "platform.orders.list", .method = "GET", .path = "/api/v1/platform/tenants/{tenant}/orders", READ,
     .params = tenant_orders_query, .result = "Orders", .command = "order.list", .doc = "A tenant's orders."},
    {.id = "platform.orders.show", .method = "GET", .path = "/api/v1/platform/orders/{order}", READ,
     .params = order_path, .result = "Order", .command = "order.show", .doc = "One order."},
    {.id = "platform.orders.confirm", .method = "POST", .path = "/api/v1/platform/orders/{order}/confirm", WRITE,
     .params = order_path, .body = confirm_body, .result = "Order", .refusals = conflicts, .command = "order.confirm",
     .doc = "A transfer for it came. Above a limit of routes.conf another administrator has to say so, too."},
    {.id = "platform.orders.resolve", .method = "POST", .path = "/api/v1/platform/orders/{order}/resolve", WRITE,
     .params = order_path, .body = resolve_body, .result = "Order", .refusals = conflicts, .command = "order.resolve",
     .doc = "Decides about an order that waits for a person."},
    {.id = "platform.reviews.list", .method = "GET", .path = "/api/v1/platform/reviews", READ, .result = "Reviews",
     .command = "review.list", .doc = "What providers said that does not fit an order."},
    {NULL},
};
