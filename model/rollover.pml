/* One roll-over, with the gateway in front of a receiver that may change. Spin explores every interleaving: make model
 *
 * The claims: if the receiver accepts a valid generation, a message is delivered, whatever was observed before and whenever time
 * passes. The key of a generation is destroyed only when the generation has expired, or when the receiver has accepted the new
 * one long enough without needing the old one. A gateway retries if the receiver changed between two attempts, so that its
 * attempts are one step here.
 *
 * BROKEN removes one safeguard, and Spin must then find an error:
 *	1  the gateway tries only the presented generation
 *	2  the old key is destroyed when the new generation is presented instead of when the roll-over is settled
 */
#ifndef BROKEN
#define BROKEN 0
#endif

bool renewed;			/* generation 2 exists */
bool accepts[3];		/* by the receiver */
byte presents = 1;
byte verdict[3];		/* 0 unknown, 1 accepted, 2 refused */
bool valid1 = true, key1 = true;
bool settled;
byte changes = 4;		/* number of changes by the receiver's administrator */

init { accepts[1] = true; renewed = true }

/* The administrator adds, replaces or restores a generation, and one generation stays accepted. After the roll-over is settled,
 * the administrator does nothing: delivery is not guaranteed if the receiver returns to the old generation then. */
active proctype administrator()
{
	do
	:: atomic {		/* a d_step would always take the first choice */
			changes > 0 && renewed && !settled ->
			changes--;
			if
			:: accepts[2] = true
			:: accepts[2] = true; accepts[1] = false
			:: valid1 -> accepts[1] = true; accepts[2] = false
			fi
		}
	:: changes == 0 || settled -> break
	od
}

/* One message after the other. The gateway tries the presented generation first, and then the other one, before it answers the
 * sender. Both attempts are one step, because the gateway retries if the receiver changed in between. */
active proctype gateway()
{
	byte n = 6;
	byte first, second;
	bool delivered, possible;
	do
	:: n == 0 -> break
	:: else ->
		d_step {
			n--;
			first = presents; second = 3 - presents;
			delivered = false;
			possible = (accepts[1] && valid1) || (accepts[2] && renewed);
			if
			:: (first == 1 && key1 && valid1 && accepts[1]) || (first == 2 && accepts[2]) -> delivered = true; verdict[first] = 1
#if BROKEN != 1
			:: else ->
				if
				:: (second == 1 && key1 && valid1 && accepts[1]) || (second == 2 && renewed && accepts[2]) -> delivered = true; verdict[second] = 1; verdict[first] = 2
				:: else
				fi
#else
			:: else
#endif
			fi;
			assert(delivered || !possible);
			/* The answers advance the roll-over (strategy adaptive). */
			if
			:: renewed && presents == 1 && verdict[2] == 1 -> presents = 2
			:: presents == 2 && verdict[2] == 2 && verdict[1] == 1 && valid1 -> presents = 1
			:: else
			fi
		}
	od
}

/* Time passes. If the receiver has accepted the new generation long enough without needing the old one, the old key is destroyed.
 * Otherwise the arrangement leaves the old generation before it expires. */
active proctype clock()
{
	if
	:: d_step { renewed && presents == 2 && verdict[2] == 1 && accepts[2] -> settled = true; key1 = false; accepts[1] = false }
	:: d_step { renewed -> presents = 2 }
	   d_step { valid1 = false; key1 = false }
#if BROKEN == 2
	:: d_step { renewed && presents == 2 -> key1 = false }
#endif
	fi
}
