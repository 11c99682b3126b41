/*
 * Rolling windows of a budget (shm/budget.h): two workers, a clock, and a ledger process with a
 * database. Each worker and each ledger process can be killed between any two steps, and the memory
 * can be lost.
 *
 *   clock    goes on by one, while workers work: each works with the time it read when its turn
 *            began, which may be past.
 *   worker   a hold: CLAIM, then enters the budget: loads word and edge; where the window has ended,
 *            swaps the edge for one that opens the next; swaps the word, which it moves to the edge's
 *            window; notes the window in its slot, HELD. Or is refused: FREE. Then SETTLED.
 *   ledger   commits what is SETTLED to its window's total, with the edge of that window where it is
 *            the latest known; FREE. Recounts after a death: freezes the word, waits for CLAIMs of the
 *            living, sweeps the dead, adds up what is in the word's window. After a loss of memory it
 *            begins with the window and the end that the database knows.
 *
 * A hold is 1 and is charged in full, so that nothing is ever given back: what is in a window stays.
 *
 * Checked in every state: no window ever has more than the limit; a window is opened once, by number in
 * turn, and only when the one before it has ended; the word never goes back.
 * At the end the word is what its window's total is.
 *
 * BUG=1 to BUG=5 plant mistakes that must be found: test/model/run.
 */
#ifndef BUG
#define BUG 0
#endif
#define NW 2
#ifndef CALLS
#define CALLS 2
#endif
#define LENGTH 1
#ifndef TIMES
#define TIMES 2 /* what the clock shows, 0 to this */
#endif
#define WINDOWS 8 /* more than can be opened */
#ifndef LIMIT
#define LIMIT 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif

mtype = { FREE, CLAIM, HELD, SETTLED };

byte now = 0;

/* Shared memory: two words, */
byte word_window = 0, word_spent = 0;
bit frozen = 0;
byte edge_window = 0, edge_end = 0;
/* and each worker's slot. */
mtype state[NW] = FREE;
byte window[NW];

/* The database. */
byte total[WINDOWS], kept_window = 0, kept_end = 0;

/* Who lives. */
bit killed[NW], dead[NW], done[NW], lost = 0;

/* What was said when it was opened: for the checks alone. */
byte end_of[WINDOWS];

#define HAS(w, n) (window[w] == n && (state[w] == HELD || state[w] == SETTLED))
#define IN(n) (total[n] + HAS(0, n) + HAS(1, n))
#define GONE(w) (dead[w] || done[w])

proctype Worker(byte w)
{
    byte calls = 0, mine = 0, seen_window = 0, seen_spent = 0, seen_edge = 0, seen_end = 0, to = 0;
    bit seen_frozen;

again:
    {
        do
        :: calls < CALLS && state[w] == FREE && !lost ->
            calls++;
            mine = now;
            state[w] = CLAIM;
look:
            skip;
            d_step { seen_window = word_window; seen_spent = word_spent; seen_frozen = frozen };
            if
            :: seen_frozen -> state[w] = FREE; goto next
            :: else
            fi;
            d_step { seen_edge = edge_window; seen_end = edge_end };
            if
            :: seen_edge != 0 && seen_edge >= seen_window && mine < seen_end -> to = seen_edge
            :: else ->
                to = (seen_edge > seen_window -> seen_edge : seen_window) + 1;
#if BUG == 1 /* the word is moved first */
                atomic {
                    if
                    :: word_window == seen_window && word_spent == seen_spent && !frozen ->
                        word_window = to;
                        word_spent = 0;
                        seen_window = to;
                        seen_spent = 0
                    :: else -> goto look
                    fi
                };
#endif
#if BUG == 2 /* the edge is stored, not swapped */
                d_step {
                    assert(end_of[to] == 0);
                    edge_window = to;
                    edge_end = mine + LENGTH;
                    end_of[to] = edge_end
                }
#else
                atomic {
                    if
                    :: edge_window == seen_edge && edge_end == seen_end ->
                        assert(end_of[to - 1] <= mine && end_of[to] == 0);
                        edge_window = to;
                        edge_end = mine + LENGTH;
                        end_of[to] = edge_end
                    :: else -> goto look
                    fi
                }
#endif
            fi;
#if BUG == 3 /* the word's count is not begun anew with the window */
            if
            :: seen_spent + 1 > LIMIT -> state[w] = FREE; goto next
            :: else
            fi;
#else
            if
            :: to > seen_window -> seen_spent = seen_spent | 128 /* to be counted from 0 */
            :: seen_window >= to && seen_spent + 1 > LIMIT -> state[w] = FREE; goto next
            :: else
            fi;
#endif
            atomic {
                if
                :: word_window == seen_window && word_spent == (seen_spent & 127) && !frozen ->
                    assert(to >= word_window);
                    word_window = to;
                    word_spent = (seen_spent >= 128 -> 1 : seen_spent + 1)
                :: else -> goto look
                fi
            };
            window[w] = to;
            state[w] = HELD;
            state[w] = SETTLED;
next:
            skip
        :: calls == CALLS -> break
        :: lost -> break
        od
    } unless { killed[w] };
    if
    :: killed[w] -> d_step { killed[w] = 0; dead[w] = 1 };
        (!dead[w]);
        goto again
    :: else -> done[w] = 1
    fi
}

inline commit()
{
    d_step {
        i = 0;
        do
        :: i < NW && state[i] == SETTLED ->
            total[window[i]]++;
            if
            :: window[i] >= kept_window ->
                kept_window = window[i];
                kept_end = (edge_window == window[i] -> edge_end : 0)
            :: else
            fi;
            state[i] = FREE;
            i++
        :: i < NW && state[i] != SETTLED -> i++
        :: else -> break
        od;
        i = 0
    }
}

inline recount()
{
    frozen = 1;
    (state[0] != CLAIM || dead[0]);
#if BUG != 4 /* the second one's CLAIM is not waited for */
    (state[1] != CLAIM || dead[1]);
#endif
    d_step {
        i = 0;
        do
        :: i < NW && dead[i] ->
            if
            :: state[i] == CLAIM -> state[i] = FREE
            :: state[i] == HELD -> state[i] = SETTLED
            :: else
            fi;
            dead[i] = 0;
            i++
        :: i < NW && !dead[i] -> i++
        :: else -> break
        od;
        i = 0
    };
    d_step { word_spent = IN(word_window); frozen = 0 }
}

active proctype Ledger()
{
    byte i = 0;

    do
    :: state[0] == SETTLED || state[1] == SETTLED -> commit()
    :: (dead[0] || dead[1]) && !lost -> recount()
    :: lost && GONE(0) && GONE(1) ->
        /* Slots and words are gone, and what was not committed with them. */
        d_step {
            state[0] = FREE;
            state[1] = FREE;
#if BUG == 5 /* it begins with the first window again */
            word_window = 0;
            word_spent = 0;
            edge_window = 0;
            edge_end = 0;
#else
            word_window = kept_window;
            word_spent = total[kept_window];
            edge_window = kept_window;
            edge_end = kept_end;
#endif
            /* A window that nothing of was kept never was. */
            i = kept_window + 1;
            do
            :: i < WINDOWS -> end_of[i] = 0; i++
            :: else -> break
            od;
            i = 0;
            frozen = 0;
            dead[0] = 0;
            dead[1] = 0;
            lost = 0
        };
        if
        :: done[0] -> done[0] = 0; run Worker(0)
        :: else
        fi;
        if
        :: done[1] -> done[1] = 0; run Worker(1)
        :: else
        fi
    :: done[0] && done[1] && !lost && state[0] == FREE && state[1] == FREE -> break
    od;
    assert(!frozen);
    assert(word_spent == total[word_window])
}

active proctype Killer()
{
    byte kills = 0, losses = 0;

    do
    :: kills < KILLS && !done[0] && !dead[0] && !lost -> d_step { kills++; killed[0] = 1 }
    :: kills < KILLS && !done[1] && !dead[1] && !lost -> d_step { kills++; killed[1] = 1 }
    :: losses < LOSSES && !dead[0] && !dead[1] && !killed[0] && !killed[1] && !(done[0] && done[1]) ->
        d_step { losses++; lost = 1; killed[0] = !done[0]; killed[1] = !done[1] }
    :: break
    od
}

active proctype Clock()
{
    do
    :: now < TIMES -> now++
    :: break
    od
}

active proctype Monitor()
{
end_monitor:
    atomic {
        IN(1) > LIMIT || IN(2) > LIMIT || IN(3) > LIMIT || IN(4) > LIMIT || IN(5) > LIMIT ||
            IN(6) > LIMIT || IN(7) > LIMIT -> assert(false)
    }
}

init
{
    atomic { run Worker(0); run Worker(1) }
}
