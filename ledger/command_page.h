/*
 * A page of a list: so many of what fits, from a place on, and the place to go on from. Arguments, of every
 * list:
 *
 *     "limit"  1 to 1000; absent: all from the command line, 50 for anybody else
 *     "after"  the "next" of the page before
 *     "q"      the beginning of a word of the name or address, and what may follow it; any case
 *
 * In the answer, beside the array: "next", a string or null. A page looks at no more than
 * PAGE_LOOKS_MAX, so that it takes the same time however many there are: it may have fewer than it was
 * asked for, even none, and there is more as long as next is no null.
 */
#ifndef LEDGER_COMMAND_PAGE_H
#define LEDGER_COMMAND_PAGE_H

#include "ledger/command.h"
#include "ledger/search.h"

#define PAGE_LIMIT_MAX 1000u
#define PAGE_LIMIT_OTHERS 50u
#define PAGE_LOOKS_MAX 4000u

struct command_page {
    const char *name; /* of the array */
    enum db_table table;
    uint32_t tenant_id;                /* 0: of all, where the table is that of tenants */
    uint32_t member_id, project_id;    /* of keys: those of one alone; 0: any */
    /*
     * Shows it, an object with all that is in it, if it fits; false in *shown if it does not. What is
     * looked for by q is for who shows it to decide, too: page_has(page, &thing).
     */
    int (*show)(struct command *command, const struct command_page *page, uint32_t id, bool *shown);
    /* The page's own. */
    struct str wanted; /* folded; "": all */
    struct str at;     /* the text that this entry was found by */
    char wanted_room[SEARCH_TEXT_MAX];
};

/* Refused, or shown. Sets what is its own. */
int command_page(struct command *command, struct command_page *page) MUST_CHECK;
/* The thing is to be shown for this entry: it is what is looked for, and not shown by another entry. */
bool page_has(const struct command_page *page, const struct search_thing *thing);

#endif
