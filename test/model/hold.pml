/*
 * The protocol of holds (shm/hold.h): one account, one budget, workers with a table of slots each,
 * and a ledger process with a database. Every process can be killed between any two steps, and
 * everything at once.
 *
 *   worker   a call takes a slot: CLAIM, enters the budget, notes in the slot that it has, swaps
 *            the account's word, HELD; or is refused, leaves the budget, and stores FREE. Some
 *            calls take a second slot to have more. Then each slot is settled: charge, SETTLED.
 *   ledger   a batch: commit to the database what is SETTLED (a transaction: one step); then for
 *            each slot return the unused part to the budget and to the account, and FREE with the
 *            next generation; then note that the batch is applied. A recount: freeze both words,
 *            wait for CLAIMs of living workers to go, sweep the dead, free what is in the database
 *            already, add up, publish. A deposit: database first, then the word. A new ledger
 *            process recounts when it finds a word frozen, a batch not applied, or a dead worker's
 *            slot.
 *   killer   kills WK workers and LK ledger processes, or all of them at once; then all are dead
 *            before the next ledger process starts: it adopts the memory. The next worker of a
 *            table comes when the dead one's slots are swept.
 *
 * What is simpler here than in the program, and why that is no loss:
 *   - A compare-and-swap is one step with its load: a swap that succeeds replaced the very value
 *     that was loaded, and one that fails changes nothing.
 *   - A generation is not a number. That it goes up when a slot is freed means that the database's
 *     record of the slot is not the record of what the slot holds next: in_last[] is cleared.
 *   - What a slot says besides its state is cleared when it is FREE, since nobody looks at it then.
 *   - A hold is 1; charges alternate between 0 and 1.
 *
 * Checked in every state: no credit is given out that is not there; the budget is never below what
 * is held and spent in it. At the end: deposits = available + spent, the budget is what was spent,
 * and every charge that was settled is in the database once.
 *
 * BUG=1 to BUG=18 plant mistakes that must be found: test/model/run.
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef NW
#define NW 2 /* workers */
#endif
#ifndef SPW
#define SPW 1 /* slots of each: 2 allows extensions */
#endif
#ifndef CALLS
#define CALLS 1 /* of each worker */
#endif
#ifndef WK
#define WK 1
#endif
#ifndef LK
#define LK 1
#endif
#ifndef ALL_AT_ONCE
#define ALL_AT_ONCE 1
#endif
#ifndef DEP
#define DEP 1 /* deposited at first */
#endif
#ifndef LIMIT
#define LIMIT 2 /* of the budget */
#endif
#ifndef DEPOSITS
#define DEPOSITS 0 /* made meanwhile */
#endif
#define NS (NW * SPW)
#define OF(k) ((k) / SPW) /* the worker of slot k */

mtype = { FREE, CLAIM, HELD, SETTLED };

/* Shared memory. */
short available = DEP;
bit frozen = 0; /* available and frozen are one word, */
short bspent = 0;
bit bfrozen = 0; /* and so are these */
mtype state[NS] = FREE;
bit charge[NS], entered[NS];
bit applied = 1; /* the last batch is */

/* The database. */
byte deposits = DEP, spent = 0, budget_spent = 0;
bit in_last[NS]; /* the last batch has this slot, in its present generation */

/* Who lives. */
bit killed[NW], dead[NW], done[NW], ledger_killed = 0, everything = 0;

/* Said by whoever settled: what must be spent in the end. */
byte settled = 0;

#define OWED(k) (state[k] == HELD || (state[k] == SETTLED && !in_last[k]))
#define OWED_BUDGET(k) (OWED(k) && entered[k])
#define IS_LEFT(k) (dead[OF(k)] && (state[k] == CLAIM || state[k] == HELD))
#define IS_USED(k) (state[k] != FREE)
#define IS_SETTLED(k) (state[k] == SETTLED)
#define IS_DONE(w) (done[w])
#define IS_DEAD(w) (dead[w])
#define IS_GONE(w) (dead[w] || done[w])
#if NS == 1
#define SUM(what) (what(0))
#elif NS == 2
#define SUM(what) (what(0) + what(1))
#else
#define SUM(what) (what(0) + what(1) + what(2) + what(3))
#endif
#if NW == 1
#define ALL(what) (what(0))
#define ANY(what) (what(0))
#else
#define ALL(what) (what(0) && what(1))
#define ANY(what) (what(0) || what(1))
#endif

/* ---- workers ---- */

inline store_free(k)
{
    d_step { state[k] = FREE; charge[k] = 0; entered[k] = 0 }
}

inline store_settled(k)
{
    d_step { state[k] = SETTLED; settled = settled + charge[k] }
}

/* Tries to take slot k; ok says whether it is HELD. */
inline take(k)
{
    state[k] = CLAIM;
#if BUG == 5 /* HELD before the credit is taken */
    state[k] = HELD;
#endif
    atomic {
        if
#if BUG == 6 /* the budget's freeze bit is not looked at */
        :: bspent < LIMIT -> bspent++; ok = 1
#else
        :: !bfrozen && bspent < LIMIT -> bspent++; ok = 1
#endif
        :: else -> ok = 0
        fi
    };
    if
    :: !ok -> store_free(k)
    :: ok ->
        entered[k] = 1;
        atomic {
            if
#if BUG == 7 /* the account's freeze bit is not looked at */
            :: available >= 1 -> available--
#else
            :: !frozen && available >= 1 -> available--
#endif
            :: else -> ok = 0
            fi
        };
        if
        :: ok -> state[k] = HELD
        :: !ok ->
#if BUG != 8 /* a refused hold does not leave the budget */
            bspent--;
#endif
            store_free(k)
        fi
    fi
}

inline settle(k)
{
#if BUG == 9 /* the charge is written after the slot was given away */
    d_step { state[k] = SETTLED; settled++ };
    charge[k] = 1
#else
    charge[k] = (w + calls) & 1;
    store_settled(k)
#endif
}

proctype Worker(byte w)
{
    byte calls = 0;
    bit ok, more;

again:
    {
        do
        :: calls < CALLS && state[w * SPW] == FREE ->
            calls++;
            take(w * SPW);
            if
            :: ok ->
#if SPW == 2
                if
                :: state[w * SPW + 1] == FREE -> take(w * SPW + 1); more = ok; ok = 0
                :: true
                fi;
#endif
                settle(w * SPW);
#if SPW == 2
                if
                :: more ->
#if BUG == 10 /* the worker frees the extension itself: its credit goes nowhere */
                    store_free(w * SPW + 1);
#else
                    settle(w * SPW + 1);
#endif
                    more = 0
                :: else
                fi;
#endif
                ok = 0
            :: else
            fi
        :: calls == CALLS -> break
        od
    } unless { killed[w] };
    if
    :: killed[w] ->
        /* Proven dead: reaped by the master, or its lock is gone. */
        d_step { killed[w] = 0; ok = 0; more = 0; dead[w] = 1 };
#if BUG != 11 /* the table's next worker comes before it is swept */
        (!everything && !frozen && !bfrozen && !IS_LEFT(w * SPW) && !IS_LEFT(w * SPW + SPW - 1));
#endif
        dead[w] = 0;
        goto again
    :: else -> done[w] = 1
    fi
}

/* ---- the ledger process ---- */

inline free_settled(k)
{
#if BUG == 12 /* the generation stays */
    store_free(k)
#else
    d_step { state[k] = FREE; charge[k] = 0; entered[k] = 0; in_last[k] = 0 }
#endif
}

inline sweep(k)
{
    if
    :: dead[OF(k)] && state[k] == CLAIM ->
#if BUG == 2 /* its amount is given back, as though it surely had been taken */
        available++;
#endif
        store_free(k)
#if BUG == 13 /* holds of the living are swept as well */
    :: state[k] == HELD ->
#else
    :: dead[OF(k)] && state[k] == HELD ->
#endif
        charge[k] = OF(k) == 0;
        store_settled(k)
    :: else
    fi
}

inline recount()
{
    frozen = 1;
    bfrozen = 1;
#if BUG != 4 /* CLAIMs of the living are not waited for */
    do
    :: i < NS -> (state[i] != CLAIM || dead[OF(i)]); i++
    :: else -> break
    od;
    i = 0;
#endif
    do
    :: i < NS ->
        sweep(i);
        if
#if BUG != 14 /* what is in the database already is not freed, and committed again */
        :: state[i] == SETTLED && in_last[i] -> free_settled(i)
#endif
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    /* All at once: a slot that is HELD may become SETTLED meanwhile, which counts alike, and one
     * that is FREE may be claimed, and is refused. */
    d_step {
        do
        :: i < NS ->
            if
            :: state[i] == HELD || state[i] == SETTLED -> held++; bheld = bheld + entered[i]
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0;
#if BUG == 15 /* the budget's holds are forgotten */
        bheld = 0
#endif
    };
    d_step { bspent = budget_spent + bheld; bfrozen = 0; bheld = 0 };
    d_step { available = deposits - spent - held; frozen = 0; held = 0 }
}

/* What is SETTLED now goes into the database; what was there already is not added again. */
inline commit()
{
    d_step {
        do
        :: i < NS ->
            in[i] = (state[i] == SETTLED);
            if
#if BUG == 14
            :: in[i] ->
#else
            :: in[i] && !in_last[i] ->
#endif
                spent = spent + charge[i];
                budget_spent = budget_spent + (charge[i] && entered[i])
            :: else
            fi;
            in_last[i] = in[i];
            i++
        :: else -> break
        od;
        i = 0;
        applied = 0
    }
}

inline return_budget(k)
{
    if
    :: entered[k] -> bspent = bspent - (1 - charge[k])
    :: else
    fi
}

inline give_back()
{
    do
    :: i < NS ->
        if
        :: in[i] ->
            return_budget(i);
#if BUG != 16
            available = available + (1 - charge[i]);
#endif
            free_settled(i);
            in[i] = 0
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

active proctype Ledger()
{
    byte i = 0, held = 0, bheld = 0, made = 0;
    bit in[NS];

start:
    {
        if
        :: everything -> ALL(IS_GONE); everything = 0
        :: else
        fi;
        if
#if BUG != 3 /* what the last one left half done is not recounted */
        :: frozen || bfrozen || !applied || SUM(IS_LEFT) > 0 -> recount(); applied = 1
#endif
        :: else
        fi;
        do
        :: SUM(IS_SETTLED) > 0 ->
#if BUG == 16 /* the unused part is returned first, and committed then */
            do
            :: i < NS && state[i] == SETTLED -> available = available + (1 - charge[i]); i++
            :: i < NS && state[i] != SETTLED -> i++
            :: else -> break
            od;
            i = 0;
#endif
            commit();
#if BUG == 17 /* noted as applied before it is */
            applied = 1;
#endif
            give_back();
            applied = 1
        :: SUM(IS_LEFT) > 0 ->
#if BUG == 1 || BUG == 2 /* a dead worker's slots are swept without a recount */
            do
            :: i < NS -> sweep(i); i++
            :: else -> break
            od;
            i = 0
#else
            recount()
#endif
        :: made < DEPOSITS ->
#if BUG == 18 /* the word before the database */
            d_step { made++; available++ };
            deposits++
#else
            /* A batch of its own, without slots. */
            d_step {
                made++;
                deposits++;
                applied = 0;
                do
                :: i < NS -> in_last[i] = 0; i++
                :: else -> break
                od;
                i = 0
            };
            available++;
            applied = 1
#endif
        :: ALL(IS_DONE) && SUM(IS_USED) == 0 -> break
        od
    } unless { ledger_killed };
    if
    :: ledger_killed ->
        d_step {
            ledger_killed = 0;
            held = 0;
            bheld = 0;
            i = 0;
            do
            :: i < NS -> in[i] = 0; i++
            :: else -> break
            od;
            i = 0
        };
        goto start
    :: else
    fi;
    assert(!frozen && !bfrozen);
    assert(available + spent == deposits);
    assert(bspent == budget_spent);
    assert(spent == settled)
}

/* ---- kills ---- */

active proctype Killer()
{
    byte workers = 0, ledgers = 0;

    do
    :: workers < WK && !done[0] && !dead[0] -> d_step { workers++; killed[0] = 1 }
#if NW > 1
    :: workers < WK && !done[1] && !dead[1] -> d_step { workers++; killed[1] = 1 }
#endif
    :: ledgers < LK -> d_step { ledgers++; ledger_killed = 1 };
end_ledger:
        !ledger_killed
    :: ALL_AT_ONCE && !ALL(IS_DONE) && !ANY(IS_DEAD) ->
        d_step {
            everything = 1;
            killed[0] = !done[0];
#if NW > 1
            killed[1] = !done[1];
#endif
            ledger_killed = 1;
            workers = WK;
            ledgers = LK
        };
        break
    :: break
    od
}

/* Can move only when a promise is broken. */
active proctype Monitor()
{
end_monitor:
    atomic {
        available < 0 || available + spent + SUM(OWED) > deposits ||
            budget_spent + SUM(OWED_BUDGET) > bspent -> assert(false)
    }
}

init
{
    atomic {
        run Worker(0);
#if NW > 1
        run Worker(1)
#endif
    }
}
