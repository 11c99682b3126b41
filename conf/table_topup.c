/* The rows of the section topup: what credit costs. */
#include "conf/table_in.h"

#define TOPUP struct conf_topup
#define DAY (UINT64_C(24) * HOUR)
#define AT_ONCE .reload = CONF_RELOAD_AT_ONCE
#define CREDITS UINT64_C(1000000)

const struct conf_key conf_topup_keys[CONF_TOPUP_KEYS] = {
    KEY_DECIMAL("per-usd", TOPUP, credits_u[CONF_USD], .min = 0, .max = 1000000 * CREDITS, .def = "0", AT_ONCE,
                .doc = "Credits for one US dollar; 0: nothing is sold for dollars."),
    KEY_DECIMAL("per-cny", TOPUP, credits_u[CONF_CNY], .min = 0, .max = 1000000 * CREDITS, .def = "0", AT_ONCE,
                .doc = "Credits for one yuan; 0: nothing is sold for yuan."),
    KEY_DECIMAL("minimum", TOPUP, minimum_ucr, .min = 0, .max = 1000000000 * CREDITS, .def = "1", AT_ONCE,
                .doc = "The fewest credits of one order."),
    KEY_DECIMAL("maximum", TOPUP, maximum_ucr, .min = 0, .max = 1000000000 * CREDITS, .def = "0", AT_ONCE,
                .doc = "The most credits of one order; 0: any number."),
    KEY_STRINGS("packages", TOPUP, packages, .empty_ok = true, .min = 5, .max = 32, AT_ONCE,
                .doc = "Amounts that are offered to choose from, such as \"USD 50\" or \"CNY 99.90\"."),
    KEY_STRINGS("bonus", TOPUP, bonus, .empty_ok = true, .min = 3, .max = 32, AT_ONCE,
                .doc = "Steps of a bonus, from how many credits and how many per cent of them: {\"100: 5\", "
                       "\"500: 10\"}. The highest that an order reaches counts."),
    KEY_UINT("bonus-days", TOPUP, bonus_days, .min = 0, .max = 3660, .def = "0", AT_ONCE,
             .doc = "What is left of a bonus is taken back so many days later; 0: never."),
    KEY_AGE("expires", TOPUP, expires_ms, .min = 5 * MINUTE, .max = 30 * DAY, .def = "2h", AT_ONCE,
            .doc = "How long an order waits for its money. Money that comes later credits it all the same."),
    KEY_STRING("bank", TOPUP, bank, .min = 1, .max = 1000, AT_ONCE,
               .doc = "The account that people may transfer money to, as they are told it; without it nobody may. "
                      "They name their order, and an administrator confirms what came."),
    KEY_DECIMAL("confirm-above", TOPUP, confirm_above_ucr, .min = 0, .max = 1000000000 * CREDITS, .def = "0", AT_ONCE,
                .doc = "A bank transfer for more credits than these is credited when a second administrator has "
                       "confirmed it, too; 0: one is enough."),
};
