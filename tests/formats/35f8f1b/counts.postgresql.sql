CREATE TABLE public.moonwatch_buckets (
    camera text NOT NULL,
    rule text NOT NULL,
    minute bigint NOT NULL,
    samples bigint NOT NULL,
    coverage double precision NOT NULL,
    entered bigint,
    "left" bigint,
    mean double precision,
    maximum bigint,
    kept_at double precision NOT NULL
);
CREATE TABLE public.moonwatch_checkpoints (
    camera text NOT NULL,
    engine text NOT NULL,
    run text NOT NULL,
    ordinal bigint NOT NULL,
    state text NOT NULL,
    kept_at double precision NOT NULL,
    ended boolean DEFAULT false NOT NULL
);
CREATE TABLE public.moonwatch_cursors (
    sink text NOT NULL,
    "position" bigint NOT NULL,
    enlisted boolean NOT NULL
);
CREATE TABLE public.moonwatch_events (
    "position" bigint NOT NULL,
    record_id text NOT NULL,
    kept_at double precision NOT NULL,
    at double precision NOT NULL,
    camera text NOT NULL,
    rule text NOT NULL,
    type text NOT NULL,
    phase text NOT NULL,
    body text NOT NULL
);
CREATE SEQUENCE public.moonwatch_events_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.moonwatch_events_position_seq OWNED BY public.moonwatch_events."position";
CREATE TABLE public.moonwatch_fences (
    partition bigint NOT NULL,
    token bigint NOT NULL
);
CREATE TABLE public.moonwatch_health (
    camera text NOT NULL,
    at double precision NOT NULL,
    state text NOT NULL,
    detail text NOT NULL,
    kept_at double precision NOT NULL
);
CREATE TABLE public.moonwatch_media (
    reference text NOT NULL,
    record_id text NOT NULL,
    kept_at double precision NOT NULL
);
CREATE TABLE public.moonwatch_schema (
    version integer NOT NULL
);
CREATE SEQUENCE public.moonwatch_schema_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.moonwatch_schema_version_seq OWNED BY public.moonwatch_schema.version;
CREATE TABLE public.moonwatch_undelivered (
    sink text NOT NULL,
    "position" bigint NOT NULL,
    record_id text NOT NULL,
    reason text NOT NULL,
    attempts bigint NOT NULL,
    kept_at double precision NOT NULL
);
ALTER TABLE ONLY public.moonwatch_events ALTER COLUMN "position" SET DEFAULT nextval('public.moonwatch_events_position_seq'::regclass);
ALTER TABLE ONLY public.moonwatch_schema ALTER COLUMN version SET DEFAULT nextval('public.moonwatch_schema_version_seq'::regclass);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'middle', 1780315200, 60, 1, 3, 1, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'middle', 1780315260, 0, 0, NULL, NULL, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'middle', 1780315320, 30, 0.5, 2, 0, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'across', 1780315200, 60, 1, 0, 0, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'across', 1780315260, 45, 0.75, 0, 4, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'crowd', 1780315200, 60, 1, NULL, NULL, 2, 5, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'crowd', 1780315260, 15, 0.25, NULL, NULL, 7.1, 9, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'crowd', 1780315320, 0, 0, NULL, NULL, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'heads', 1780315200, 59, 0.983333, NULL, NULL, 1.233333, 3, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'stay', 1780315200, 60, 1, 2, 1, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_buckets VALUES ('plaza', 'stay', 1780315260, 30, 0.5, 0, 1, NULL, NULL, 1700000000);
INSERT INTO public.moonwatch_checkpoints VALUES ('plaza', 'line_crossing', 'clip', 11, '{"minutes":{"minutes":{"0":{"samples":12,"covered_s":5.5,"area":0.0,"total":0,"maximum":0,"entered":2,"left":1,"written":false}},"sampled_at":5.5,"level":0},"walkers":{"1":{"trail":{"at":2.5,"xy":[0.3,0.7],"height":0.2,"speed":[0.0,0.16249999999999995],"hidden_since":null},"path":{"xy":[0.3,0.7],"side":1,"through":0},"crossed_to":1,"crossed_at":1.5,"stitched":false,"owed":false},"2":{"trail":{"at":5.5,"xy":[0.9,0.7],"height":0.2,"speed":[0.015625,0.0025390624999999992],"hidden_since":null},"path":{"xy":[0.9,0.7],"side":1,"through":0},"crossed_to":1,"crossed_at":1.5,"stitched":false,"owed":false},"3":{"trail":{"at":2.0,"xy":[0.2,0.4],"height":0.2,"speed":[0.0,-0.12499999999999999],"hidden_since":null},"path":{"xy":[0.2,0.4],"side":-1,"through":0},"crossed_to":-1,"crossed_at":1.5,"stitched":false,"owed":false}},"run":"r1","seen_at":5.5,"recent_s":1.25,"entered":2,"left":1,"quiet_until":null,"suppressed":0}', 1700000000, false);
INSERT INTO public.moonwatch_checkpoints VALUES ('plaza', 'dwell', 'clip', 11, '{"minutes":{"minutes":{"0":{"samples":12,"covered_s":5.5,"area":0.0,"total":0,"maximum":0,"entered":3,"left":3,"written":false}},"sampled_at":5.5,"level":0},"presence":{"trails":{"2":{"at":5.5,"xy":[0.9,0.7],"height":0.2,"speed":[0.015625,0.0025390624999999992],"hidden_since":null}},"run":"r1","seen_at":5.5,"patience_s":1.25},"visits":{},"run":"r1","ended":3,"ended_s":7.0,"quiet_until":null,"suppressed":0}', 1700000000, false);
INSERT INTO public.moonwatch_checkpoints VALUES ('plaza', 'occupancy', 'clip', 11, '{"limit":{"holding":{"since":null,"held_at":0.0,"broken_at":null,"known_at":0.0,"pauses_s":[],"started":false,"silenced":false,"quiet_until":null,"suppressed":0},"minutes":{"minutes":{"0":{"samples":12,"covered_s":5.5,"area":13.0,"total":27,"maximum":3,"entered":0,"left":0,"written":false}},"sampled_at":5.5,"level":1},"number":0,"extreme":null,"told":null,"told_at":0.0,"updates":0},"presence":{"trails":{"2":{"at":5.5,"xy":[0.9,0.7],"height":0.2,"speed":[0.015625,0.0025390624999999992],"hidden_since":null}},"run":"r1","seen_at":5.5,"patience_s":1.25},"tracked":true}', 1700000000, false);
INSERT INTO public.moonwatch_checkpoints VALUES ('plaza', 'count', 'clip', 11, '{"limit":{"holding":{"since":null,"held_at":0.0,"broken_at":null,"known_at":0.0,"pauses_s":[],"started":false,"silenced":false,"quiet_until":null,"suppressed":0},"minutes":{"minutes":{"0":{"samples":4,"covered_s":1.5,"area":3.0,"total":7,"maximum":4,"entered":0,"left":0,"written":false}},"sampled_at":1.5,"level":1},"number":0,"extreme":null,"told":null,"told_at":0.0,"updates":0}}', 1700000000, false);
INSERT INTO public.moonwatch_cursors VALUES ('log', 0, true);
INSERT INTO public.moonwatch_events VALUES (1, 'middle-0', 1700000000, 1780315200, 'plaza', 'middle', 'line_crossing', 'single', '{"id":"middle-0","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315200,"data":{"direction":"in"}}');
INSERT INTO public.moonwatch_events VALUES (2, 'middle-1', 1700000000, 1780315201, 'plaza', 'middle', 'line_crossing', 'single', '{"id":"middle-1","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315201,"data":{"direction":"in"}}');
INSERT INTO public.moonwatch_events VALUES (3, 'middle-2', 1700000000, 1780315202, 'plaza', 'middle', 'line_crossing', 'single', '{"id":"middle-2","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315202,"data":{"direction":"in"}}');
INSERT INTO public.moonwatch_events VALUES (4, 'middle-3', 1700000000, 1780315203, 'plaza', 'middle', 'line_crossing', 'single', '{"id":"middle-3","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315203,"data":{"direction":"in"}}');
INSERT INTO public.moonwatch_events VALUES (5, 'middle-4', 1700000000, 1780315204, 'plaza', 'middle', 'line_crossing', 'single', '{"id":"middle-4","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315204,"data":{"direction":"in"}}');
INSERT INTO public.moonwatch_events VALUES (6, 'crowd-1.start', 1700000000, 1780315201, 'plaza', 'crowd', 'occupancy', 'start', '{"id":"crowd-1","type":"occupancy","phase":"start","camera":"plaza","rule":"crowd","at":1780315201}');
INSERT INTO public.moonwatch_events VALUES (7, 'crowd-1.end', 1700000000, 1780315201, 'plaza', 'crowd', 'occupancy', 'end', '{"id":"crowd-1","type":"occupancy","phase":"end","camera":"plaza","rule":"crowd","at":1780315201}');
INSERT INTO public.moonwatch_events VALUES (8, 'stay-1.start', 1700000000, 1780315201, 'plaza', 'stay', 'dwell', 'start', '{"id":"stay-1","type":"dwell","phase":"start","camera":"plaza","rule":"stay","at":1780315201}');
INSERT INTO public.moonwatch_events VALUES (9, 'stay-1.end', 1700000000, 1780315201, 'plaza', 'stay', 'dwell', 'end', '{"id":"stay-1","type":"dwell","phase":"end","camera":"plaza","rule":"stay","at":1780315201,"data":{"seconds":40.0,"visits":1,"mean_seconds":40.0}}');
INSERT INTO public.moonwatch_events VALUES (10, 'stay-2.start', 1700000000, 1780315202, 'plaza', 'stay', 'dwell', 'start', '{"id":"stay-2","type":"dwell","phase":"start","camera":"plaza","rule":"stay","at":1780315202}');
INSERT INTO public.moonwatch_events VALUES (11, 'stay-2.end', 1700000000, 1780315202, 'plaza', 'stay', 'dwell', 'end', '{"id":"stay-2","type":"dwell","phase":"end","camera":"plaza","rule":"stay","at":1780315202,"data":{"seconds":20.5,"visits":2,"mean_seconds":30.25}}');
INSERT INTO public.moonwatch_health VALUES ('plaza', 1780315200, 'online', '', 1700000000);
INSERT INTO public.moonwatch_schema VALUES (2);
SELECT pg_catalog.setval('public.moonwatch_events_position_seq', 11, true);
SELECT pg_catalog.setval('public.moonwatch_schema_version_seq', 1, false);
ALTER TABLE ONLY public.moonwatch_buckets
    ADD CONSTRAINT moonwatch_buckets_pkey PRIMARY KEY (camera, rule, minute);
ALTER TABLE ONLY public.moonwatch_checkpoints
    ADD CONSTRAINT moonwatch_checkpoints_pkey PRIMARY KEY (camera, engine);
ALTER TABLE ONLY public.moonwatch_cursors
    ADD CONSTRAINT moonwatch_cursors_pkey PRIMARY KEY (sink);
ALTER TABLE ONLY public.moonwatch_events
    ADD CONSTRAINT moonwatch_events_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.moonwatch_events
    ADD CONSTRAINT moonwatch_events_record_id_key UNIQUE (record_id);
ALTER TABLE ONLY public.moonwatch_fences
    ADD CONSTRAINT moonwatch_fences_pkey PRIMARY KEY (partition);
ALTER TABLE ONLY public.moonwatch_health
    ADD CONSTRAINT moonwatch_health_pkey PRIMARY KEY (camera, at, state);
ALTER TABLE ONLY public.moonwatch_media
    ADD CONSTRAINT moonwatch_media_pkey PRIMARY KEY (reference);
ALTER TABLE ONLY public.moonwatch_schema
    ADD CONSTRAINT moonwatch_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.moonwatch_undelivered
    ADD CONSTRAINT moonwatch_undelivered_pkey PRIMARY KEY (sink, "position");
CREATE INDEX ix_moonwatch_events_at ON public.moonwatch_events USING btree (at);
CREATE INDEX ix_moonwatch_events_kept_at ON public.moonwatch_events USING btree (kept_at);
CREATE INDEX ix_moonwatch_media_record_id ON public.moonwatch_media USING btree (record_id);
CREATE INDEX moonwatch_events_by_rule ON public.moonwatch_events USING btree (camera, rule, at);
