package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const questionColumns = "arrangement_id, counterparty_id, generation, claimed, wanted_at, taken_until, done_at, " +
	"result, answer"

func scanQuestion(s row) (q tenancy.CounterpartyQuestion, err error) {
	var claimed int64
	err = s.Scan(&q.ArrangementID, &q.CounterpartyID, &q.Generation, &claimed, instant{&q.WantedAt},
		instant{&q.TakenUntil}, instant{&q.DoneAt}, &q.Result, &q.Answer)
	q.Claimed = claimed == 1
	return q, err
}

// askAgain does not replace a question that waits, nor one that was asked since an instant, unless the new one is a
// report and the former one is not. If questions that wait were replaced, a page that asks for all of them again and
// again would have the first ones asked each time, and the last ones never.
const askAgain = " ON CONFLICT (arrangement_id) DO UPDATE SET counterparty_id = excluded.counterparty_id, " +
	"generation = excluded.generation, claimed = excluded.claimed, wanted_at = excluded.wanted_at, taken_until = 0, " +
	"done_at = 0, result = '', answer = '' WHERE (counterparty_questions.done_at > 0 AND " +
	"counterparty_questions.wanted_at < ?) OR counterparty_questions.claimed < excluded.claimed"

// WantQuestions stores questions that wait to be asked. An arrangement that waits, or that was asked since the instant
// before, keeps its question, unless the new one reports an installation and the former one does not. It returns the
// number of questions that are new.
func (t *Tx) WantQuestions(ctx context.Context, questions []tenancy.CounterpartyQuestion, before time.Time) (wanted int,
	err error) {
	for _, q := range questions {
		n, err := t.exec(ctx, "INSERT INTO counterparty_questions ("+questionColumns+") VALUES (?, ?, ?, ?, ?, 0, 0, '', "+
			"'')"+askAgain, q.ArrangementID, q.CounterpartyID, q.Generation, bit(q.Claimed), micros(q.WantedAt), micros(before))
		if err != nil {
			return wanted, err
		}
		wanted += int(n)
	}
	return wanted, nil
}

// WaitingQuestions lists questions of a counterparty that no replica asks at the moment, those that wait longest first.
func (r Reader) WaitingQuestions(ctx context.Context, counterpartyID string, now time.Time,
	limit int) ([]tenancy.CounterpartyQuestion, error) {
	return list(ctx, r, scanQuestion, "SELECT "+questionColumns+" FROM counterparty_questions WHERE counterparty_id = ? "+
		"AND done_at = 0 AND taken_until <= ? ORDER BY wanted_at, arrangement_id LIMIT ?", counterpartyID, micros(now), limit)
}

// TakeQuestion reserves a question for this replica until an instant. It reports false if another one was faster.
func (t *Tx) TakeQuestion(ctx context.Context, q tenancy.CounterpartyQuestion, now, until time.Time) (bool, error) {
	n, err := t.exec(ctx, "UPDATE counterparty_questions SET taken_until = ? WHERE arrangement_id = ? AND wanted_at = ? "+
		"AND done_at = 0 AND taken_until <= ?", micros(until), q.ArrangementID, micros(q.WantedAt), micros(now))
	return n > 0, err
}

// EndQuestion stores the result of a question, unless it was asked again in the meantime.
func (t *Tx) EndQuestion(ctx context.Context, q tenancy.CounterpartyQuestion) error {
	_, err := t.exec(ctx, "UPDATE counterparty_questions SET done_at = ?, taken_until = 0, result = ?, answer = ? WHERE "+
		"arrangement_id = ? AND wanted_at = ?", micros(q.DoneAt), q.Result, storable(q.Answer), q.ArrangementID,
		micros(q.WantedAt))
	return err
}

// QuestionsOf reads the latest questions of arrangements, by arrangement ID.
func (r Reader) QuestionsOf(ctx context.Context, arrangementIDs []string) (map[string]tenancy.CounterpartyQuestion,
	error) {
	return byID(ctx, r, scanQuestion, func(q tenancy.CounterpartyQuestion) string { return q.ArrangementID },
		"SELECT "+questionColumns+" FROM counterparty_questions WHERE arrangement_id ", arrangementIDs)
}

// CountWaitingQuestions counts the questions of a counterparty that were not asked yet.
func (r Reader) CountWaitingQuestions(ctx context.Context, counterpartyID string) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM counterparty_questions WHERE counterparty_id = ? AND "+
		"done_at = 0", counterpartyID)
}

// LeftQuestions lists the IDs of counterparties with questions that have waited since before an instant, and that no
// replica asks at the moment.
func (r Reader) LeftQuestions(ctx context.Context, before time.Time, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT DISTINCT counterparty_id FROM counterparty_questions WHERE done_at = 0 "+
		"AND wanted_at < ? AND taken_until < ? ORDER BY counterparty_id LIMIT ?", micros(before), micros(before), limit)
}

// deleteQuestions deletes the questions of a counterparty that is deleted.
func (t *Tx) deleteQuestions(ctx context.Context, counterpartyID string) error {
	_, err := t.exec(ctx, "DELETE FROM counterparty_questions WHERE counterparty_id = ?", counterpartyID)
	return err
}
