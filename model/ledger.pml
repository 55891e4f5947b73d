/* The ledger of runs, with replicas that may die at any point. Spin explores every interleaving: make model
 *
 * Each d_step is one transaction of the database. Between two transactions, the replicas may proceed in any order, and a
 * replica may die. The claims:
 *
 *	- one due certificate gets one successor, and its notice one task, however many replicas find it due
 *	- every mail is queued or was sent
 *	- the run is finished once, and only when every part is done
 *
 * BROKEN removes one safeguard, and Spin must then find an error:
 *	1  the database does not refuse a second successor
 *	2  the job that sends a mail is queued after the transaction instead of in it
 *	3  a part finishes the run without checking the other parts
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#define REPLICAS 2
#define PARTS    2		/* of one run, each with one due certificate */

byte successors[PARTS];		/* of the certificate of each part */
byte tasks[PARTS];
bool queued[PARTS];		/* the job that sends the mail */
bool sent[PARTS];
bool done[PARTS];
byte finished;
byte deaths = 1;		/* number of deaths of a replica */

/* A replica works on the parts, dies and restarts. */
active [REPLICAS] proctype replica()
{
	byte p;
	bool due;
work:
	do
	:: finished -> break
	:: else ->
		if
		:: p = 0
		:: p = 1
		fi;
		/* Read a page of due certificates. The claim of the part is left out, because it does not exclude other replicas for sure:
		 * the lease of a stalled replica ends without its notice. */
		d_step { due = !done[p] && successors[p] == 0 }
		if
		:: deaths > 0 -> d_step { deaths--; due = false } goto work
		:: true
		fi;
		/* Write the page: successor, task, mail and its job in one transaction, which fails if another replica was faster. */
		if
		:: due ->
#if BROKEN == 2
			d_step { if :: successors[p] == 0 -> successors[p]++; tasks[p]++ :: else -> due = false fi }
			if
			:: deaths > 0 -> d_step { deaths--; due = false } goto work
			:: true
			fi;
			if :: due -> queued[p] = true :: else fi
#elif BROKEN == 1
			d_step { successors[p]++; tasks[p]++; queued[p] = true }
#else
			d_step { if :: successors[p] == 0 -> successors[p]++; tasks[p]++; queued[p] = true :: else fi }
#endif
		:: else
		fi;
		if
		:: deaths > 0 -> d_step { deaths--; due = false } goto work
		:: true
		fi;
		/* The part is done. The last part finishes the run. The lock on the run's row serializes them. */
		d_step {
			if
			:: successors[p] > 0 && !done[p] ->
				done[p] = true;
#if BROKEN == 3
				finished++
#else
				if
				:: done[0] && done[1] -> finished++
				:: else
				fi
#endif
			:: else
			fi
		}
	od
}

/* The job that sends a mail. It may die once after the server has accepted the mail, before that is stored. */
active proctype mailer()
{
	bool died = false;
	do
	:: atomic { queued[0] -> sent[0] = true; if :: !died -> died = true /* the job is retried */ :: queued[0] = false fi }
	:: atomic { queued[1] -> sent[1] = true; if :: !died -> died = true :: queued[1] = false fi }
	:: finished && !queued[0] && !queued[1] -> break
	od
}

/* The claims at the end of every run. */
active proctype end()
{
	finished > 0;
	assert(finished == 1 && done[0] && done[1]);
	assert(successors[0] == 1 && successors[1] == 1 && tasks[0] == 1 && tasks[1] == 1);
	/* Every mail is queued or was sent. */
	assert((queued[0] || sent[0]) && (queued[1] || sent[1]))
}
