/* The ledger of runs across replicas that may die at any point. Spin explores every interleaving: make model
 *
 * What is modelled is what the database makes atomic (each d_step is one of its transactions) and what it does not: everything
 * between two of them may happen in any order, and a replica may die there. The claims:
 *
 *	- one due certificate gets one successor, and its notice one task, however many replicas find it due;
 *	- a mail is on its way or was sent, at least once;
 *	- the run is finished once, and only when every part is done.
 *
 * BROKEN takes one safeguard away, and Spin must then find an error:
 *	1  the database does not refuse a second successor
 *	2  the job that sends a mail is queued after the transaction, and not in it
 *	3  the last part does not look whether others are left
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
byte deaths = 1;		/* how often a replica may die */

/* One replica works on the parts, dies and comes back. */
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
		/* Read what is due: a page. The part was claimed before, which is left out: the lease of a replica that stands still ends
		 * without its knowing, so a claim keeps nobody away for sure. */
		d_step { due = !done[p] && successors[p] == 0 }
		if
		:: deaths > 0 -> d_step { deaths--; due = false } goto work
		:: true
		fi;
		/* Write the page: successor, task, mail and its job in one transaction, which fails where somebody was faster. */
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
		/* The part is done, and with the last one the run. The run's row makes one wait for the other. */
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

/* The job that sends a mail: it dies after the server took it, and before that is written down, at most once here. */
active proctype mailer()
{
	bool died = false;
	do
	:: atomic { queued[0] -> sent[0] = true; if :: !died -> died = true /* the job is taken up again */ :: queued[0] = false fi }
	:: atomic { queued[1] -> sent[1] = true; if :: !died -> died = true :: queued[1] = false fi }
	:: finished && !queued[0] && !queued[1] -> break
	od
}

/* What holds at the end of every run, whatever happened on the way. */
active proctype end()
{
	finished > 0;
	assert(finished == 1 && done[0] && done[1]);
	assert(successors[0] == 1 && successors[1] == 1 && tasks[0] == 1 && tasks[1] == 1);
	/* Every mail is on its way or was sent. */
	assert((queued[0] || sent[0]) && (queued[1] || sent[1]))
}
