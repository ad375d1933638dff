package access

import (
	"context"
	"log/slog"

	"gatehouse"
)

// PasswordChange is somebody's wish for a new password.
type PasswordChange struct {
	Username  string
	Old, New  gatehouse.Secret
	Door      gatehouse.Door
	IP        string
	Device    string // as Attempt.Device
	RequestID string
}

// ChangePassword gives a person a new password in their directory, and returns
// their identity (User.Key), whose sessions should end. The old password is
// guarded as at a sign-in: the same allowances, the same least time, and both
// outcomes on the record. Browsers in which the person signed in before are
// strangers from then on.
//
// Errors: SignIn's, and ErrPasswordRefused where the old one was right and the
// directory does not take the new one.
func (b *Broker) ChangePassword(ctx context.Context, c PasswordChange) (person string, err error) {
	err = b.unhurried(ctx, func(ctx context.Context) error {
		person, err = b.changePassword(ctx, c)
		return err
	})
	return person, err
}

func (b *Broker) changePassword(ctx context.Context, c PasswordChange) (string, error) {
	event := gatehouse.Event{Kind: gatehouse.EventPasswordRefused, Door: c.Door, IP: c.IP, RequestID: c.RequestID}
	err := b.guarded(ctx, claim{username: c.Username, password: c.Old, ip: c.IP, device: c.Device}, &event, func(dir Directory, admit func(gatehouse.User) error) error {
		return dir.ChangePassword(ctx, c.Username, c.Old, c.New, admit)
	})
	if err != nil {
		return "", b.refuse(ctx, event, err)
	}
	if err := b.throttle.renewDevices(ctx, event.Person); err != nil {
		b.d.Log.WarnContext(ctx, "browsers of somebody with a new password are still known", slog.String("user", event.Username), slog.Any("err", err))
	}
	event.Kind = gatehouse.EventPasswordChanged
	if err := b.record(context.WithoutCancel(ctx), event); err != nil {
		// It has happened in the directory, whose own log has it: to tell the
		// person that it has not would lock them out.
		b.d.Log.ErrorContext(ctx, "password change not recorded", slog.String("user", event.Username), slog.Any("err", err))
	}
	return event.Person, nil
}
