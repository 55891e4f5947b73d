/* One roll-over and the gateway in front of a receiver that may change its mind. Spin explores every interleaving: make model
 *
 * The claims: while the receiver accepts a generation that is valid, a message gets through, whatever was observed before and
 * whenever time passes; and the key of a generation is destroyed only when it has expired or the receiver has taken the new one
 * long enough without needing it. A gateway asks again where the receiver changed between two of its tries: so its tries are one
 * step here.
 *
 * BROKEN takes one safeguard away, and Spin must then find an error:
 *	1  the gateway tries only what is presented
 *	2  the old key is destroyed when the new generation is presented, and not when the receiver is settled
 */
#ifndef BROKEN
#define BROKEN 0
#endif

bool renewed;			/* generation 2 exists */
bool accepts[3];		/* what the receiver accepts */
byte presents = 1;
byte verdict[3];		/* 0 unknown, 1 accepted, 2 refused */
bool valid1 = true, key1 = true;
bool settled;
byte changes = 4;		/* how often the receiver's administrator acts */

init { accepts[1] = true; renewed = true }

/* The administrator adds, replaces, and goes back, as long as one generation stays accepted; not any more once the new one was
 * in use for as long as the roll-over waits, which is the one thing that is not promised. */
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

/* One message after the other: the one that is presented first, and then the other, before the sender hears of it. The two
 * questions are one step here, as the gateway asks again where the receiver changed in between. */
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
			/* What the gateway learnt moves the roll-over: adaptive. */
			if
			:: renewed && presents == 1 && verdict[2] == 1 -> presents = 2
			:: presents == 2 && verdict[2] == 2 && verdict[1] == 1 && valid1 -> presents = 1
			:: else
			fi
		}
	od
}

/* Time passes: where the receiver has taken the new generation long enough without needing the old one, the old key is destroyed;
 * else the old generation is left before it expires, and expires. */
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
