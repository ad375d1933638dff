-- The first schema. It is the same text for SQLite and PostgreSQL:
--   bytea   SQLite keeps the blobs it is given, whatever the column is called
--   bigint  Unix milliseconds wherever the name ends in _at
-- Migrations only add: a release must run beside the one before it.

-- +goose Up

-- Whatever expires: sessions, parked requests, codes, tokens. key_hash is
-- SHA-256 over kind and the bearer secret, which itself is nowhere.
create table records (
	kind       text   not null,
	key_hash   bytea  not null,
	owner      text,
	body       bytea  not null,
	created_at bigint not null,
	expires_at bigint not null,
	primary key (kind, key_hash)
);
create index records_owner on records (kind, owner) where owner is not null;
create index records_expires on records (expires_at);

-- Throttles. The key is hashed, since somebody may have typed a password
-- where a name belongs.
create table counters (
	key_hash   bytea  not null primary key,
	hits       bigint not null,
	expires_at bigint not null
);
create index counters_expires on counters (expires_at);

-- What AWS taught us, for a while: a role's real maximum.
create table learnt (
	key        text   not null primary key,
	value      text   not null,
	expires_at bigint not null
);
create index learnt_expires on learnt (expires_at);

-- How many chains there must be, and which was the last: one row.
create table chain_log (
	id     bigint not null primary key,
	opened bigint not null,
	last   text   not null
);
insert into chain_log (id, opened, last) values (1, 0, '');

-- One chain per replica and start. after names the chain opened before it, so
-- that a chain that is lost can still be named.
create table chains (
	name      text   not null primary key,
	number    bigint not null unique,
	after     text   not null,
	head      text   not null,
	events    bigint not null,
	opened_at bigint not null,
	closed_at bigint
);

-- The record. body is what was hashed; the other columns only find it again,
-- and are null where they do not apply so that no index holds them.
create table events (
	chain         text   not null,
	seq           bigint not null,
	prev          text   not null,
	hash          text   not null,
	body          bytea  not null,
	time_at       bigint not null,
	kind          text   not null,
	person        text,
	username      text,
	account       text,
	role          text,
	access_key_id text,
	session_name  text,
	ip            text,
	primary key (chain, seq)
);
-- Who asks for events knows the person, their name, the key, or about when. All
-- else is looked for among the events of a time: each index is one more page in
-- every hand-out's commit.
create index events_time on events (time_at);
create index events_person on events (person, time_at) where person is not null;
create index events_username on events (username, time_at) where username is not null;
create index events_access_key_id on events (access_key_id) where access_key_id is not null;

-- What a person prefers, and what they prove themselves with.
create table people (
	owner      text   not null,
	key        text   not null,
	body       bytea  not null,
	updated_at bigint not null,
	primary key (owner, key)
);
create table factors (
	owner      text   not null,
	key        text   not null,
	body       bytea  not null,
	created_at bigint not null,
	primary key (owner, key)
);

-- Sealed with the secret: see seal.go.
create table signing_keys (
	id          text   not null primary key,
	state       text   not null,
	private_key bytea  not null,
	certificate bytea  not null,
	created_at  bigint not null
);
create table secrets (
	name       text   not null primary key,
	value      bytea  not null,
	created_at bigint not null
);
