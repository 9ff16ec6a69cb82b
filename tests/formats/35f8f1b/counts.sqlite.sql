BEGIN TRANSACTION;
CREATE TABLE moonwatch_buckets (
	camera TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	minute BIGINT NOT NULL, 
	samples BIGINT NOT NULL, 
	coverage DOUBLE NOT NULL, 
	entered BIGINT, 
	"left" BIGINT, 
	mean DOUBLE, 
	maximum BIGINT, 
	kept_at DOUBLE NOT NULL, 
	PRIMARY KEY (camera, rule, minute)
);
INSERT INTO "moonwatch_buckets" VALUES('plaza','middle',1780315200,60,1.0,3,1,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','middle',1780315260,0,0.0,NULL,NULL,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','middle',1780315320,30,0.5,2,0,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','across',1780315200,60,1.0,0,0,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','across',1780315260,45,0.75,0,4,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','crowd',1780315200,60,1.0,NULL,NULL,2.0,5,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','crowd',1780315260,15,0.25,NULL,NULL,7.1,9,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','crowd',1780315320,0,0.0,NULL,NULL,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','heads',1780315200,59,0.983333,NULL,NULL,1.233333,3,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','stay',1780315200,60,1.0,2,1,NULL,NULL,1700000000.0);
INSERT INTO "moonwatch_buckets" VALUES('plaza','stay',1780315260,30,0.5,0,1,NULL,NULL,1700000000.0);
CREATE TABLE moonwatch_checkpoints (
	camera TEXT NOT NULL, 
	engine TEXT NOT NULL, 
	run TEXT NOT NULL, 
	ordinal BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	kept_at DOUBLE NOT NULL, 
	ended BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (camera, engine)
);
INSERT INTO "moonwatch_checkpoints" VALUES('plaza','line_crossing','clip',11,'{"minutes":{"minutes":{"0":{"samples":12,"covered_s":5.5,"area":0.0,"total":0,"maximum":0,"entered":2,"left":1,"written":false}},"sampled_at":5.5,"level":0},"walkers":{"1":{"trail":{"at":2.5,"xy":[0.3,0.7],"height":0.2,"speed":[0.0,0.16249999999999995],"hidden_since":null},"path":{"xy":[0.3,0.7],"side":1,"through":0},"crossed_to":1,"crossed_at":1.5,"stitched":false,"owed":false},"2":{"trail":{"at":5.5,"xy":[0.9,0.7],"height":0.2,"speed":[0.015625,0.0025390624999999992],"hidden_since":null},"path":{"xy":[0.9,0.7],"side":1,"through":0},"crossed_to":1,"crossed_at":1.5,"stitched":false,"owed":false},"3":{"trail":{"at":2.0,"xy":[0.2,0.4],"height":0.2,"speed":[0.0,-0.12499999999999999],"hidden_since":null},"path":{"xy":[0.2,0.4],"side":-1,"through":0},"crossed_to":-1,"crossed_at":1.5,"stitched":false,"owed":false}},"run":"r1","seen_at":5.5,"recent_s":1.25,"entered":2,"left":1,"quiet_until":null,"suppressed":0}',1700000000.0,0);
INSERT INTO "moonwatch_checkpoints" VALUES('plaza','dwell','clip',11,'{"minutes":{"minutes":{"0":{"samples":12,"covered_s":5.5,"area":0.0,"total":0,"maximum":0,"entered":3,"left":3,"written":false}},"sampled_at":5.5,"level":0},"presence":{"trails":{"2":{"at":5.5,"xy":[0.9,0.7],"height":0.2,"speed":[0.015625,0.0025390624999999992],"hidden_since":null}},"run":"r1","seen_at":5.5,"patience_s":1.25},"visits":{},"run":"r1","ended":3,"ended_s":7.0,"quiet_until":null,"suppressed":0}',1700000000.0,0);
INSERT INTO "moonwatch_checkpoints" VALUES('plaza','occupancy','clip',11,'{"limit":{"holding":{"since":null,"held_at":0.0,"broken_at":null,"known_at":0.0,"pauses_s":[],"started":false,"silenced":false,"quiet_until":null,"suppressed":0},"minutes":{"minutes":{"0":{"samples":12,"covered_s":5.5,"area":13.0,"total":27,"maximum":3,"entered":0,"left":0,"written":false}},"sampled_at":5.5,"level":1},"number":0,"extreme":null,"told":null,"told_at":0.0,"updates":0},"presence":{"trails":{"2":{"at":5.5,"xy":[0.9,0.7],"height":0.2,"speed":[0.015625,0.0025390624999999992],"hidden_since":null}},"run":"r1","seen_at":5.5,"patience_s":1.25},"tracked":true}',1700000000.0,0);
INSERT INTO "moonwatch_checkpoints" VALUES('plaza','count','clip',11,'{"limit":{"holding":{"since":null,"held_at":0.0,"broken_at":null,"known_at":0.0,"pauses_s":[],"started":false,"silenced":false,"quiet_until":null,"suppressed":0},"minutes":{"minutes":{"0":{"samples":4,"covered_s":1.5,"area":3.0,"total":7,"maximum":4,"entered":0,"left":0,"written":false}},"sampled_at":1.5,"level":1},"number":0,"extreme":null,"told":null,"told_at":0.0,"updates":0}}',1700000000.0,0);
CREATE TABLE moonwatch_cursors (
	sink TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	enlisted BOOLEAN NOT NULL, 
	PRIMARY KEY (sink)
);
INSERT INTO "moonwatch_cursors" VALUES('log',0,1);
CREATE TABLE moonwatch_events (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	record_id TEXT NOT NULL, 
	kept_at DOUBLE NOT NULL, 
	at DOUBLE NOT NULL, 
	camera TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	type TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	body TEXT NOT NULL, 
	UNIQUE (record_id)
);
INSERT INTO "moonwatch_events" VALUES(1,'middle-0',1700000000.0,1780315200.0,'plaza','middle','line_crossing','single','{"id":"middle-0","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315200,"data":{"direction":"in"}}');
INSERT INTO "moonwatch_events" VALUES(2,'middle-1',1700000000.0,1780315201.0,'plaza','middle','line_crossing','single','{"id":"middle-1","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315201,"data":{"direction":"in"}}');
INSERT INTO "moonwatch_events" VALUES(3,'middle-2',1700000000.0,1780315202.0,'plaza','middle','line_crossing','single','{"id":"middle-2","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315202,"data":{"direction":"in"}}');
INSERT INTO "moonwatch_events" VALUES(4,'middle-3',1700000000.0,1780315203.0,'plaza','middle','line_crossing','single','{"id":"middle-3","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315203,"data":{"direction":"in"}}');
INSERT INTO "moonwatch_events" VALUES(5,'middle-4',1700000000.0,1780315204.0,'plaza','middle','line_crossing','single','{"id":"middle-4","type":"line_crossing","phase":"single","camera":"plaza","rule":"middle","at":1780315204,"data":{"direction":"in"}}');
INSERT INTO "moonwatch_events" VALUES(6,'crowd-1.start',1700000000.0,1780315201.0,'plaza','crowd','occupancy','start','{"id":"crowd-1","type":"occupancy","phase":"start","camera":"plaza","rule":"crowd","at":1780315201}');
INSERT INTO "moonwatch_events" VALUES(7,'crowd-1.end',1700000000.0,1780315201.0,'plaza','crowd','occupancy','end','{"id":"crowd-1","type":"occupancy","phase":"end","camera":"plaza","rule":"crowd","at":1780315201}');
INSERT INTO "moonwatch_events" VALUES(8,'stay-1.start',1700000000.0,1780315201.0,'plaza','stay','dwell','start','{"id":"stay-1","type":"dwell","phase":"start","camera":"plaza","rule":"stay","at":1780315201}');
INSERT INTO "moonwatch_events" VALUES(9,'stay-1.end',1700000000.0,1780315201.0,'plaza','stay','dwell','end','{"id":"stay-1","type":"dwell","phase":"end","camera":"plaza","rule":"stay","at":1780315201,"data":{"seconds":40.0,"visits":1,"mean_seconds":40.0}}');
INSERT INTO "moonwatch_events" VALUES(10,'stay-2.start',1700000000.0,1780315202.0,'plaza','stay','dwell','start','{"id":"stay-2","type":"dwell","phase":"start","camera":"plaza","rule":"stay","at":1780315202}');
INSERT INTO "moonwatch_events" VALUES(11,'stay-2.end',1700000000.0,1780315202.0,'plaza','stay','dwell','end','{"id":"stay-2","type":"dwell","phase":"end","camera":"plaza","rule":"stay","at":1780315202,"data":{"seconds":20.5,"visits":2,"mean_seconds":30.25}}');
CREATE TABLE moonwatch_fences (
	partition BIGINT NOT NULL, 
	token BIGINT NOT NULL, 
	PRIMARY KEY (partition)
);
CREATE TABLE moonwatch_health (
	camera TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	state TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	kept_at DOUBLE NOT NULL, 
	PRIMARY KEY (camera, at, state)
);
INSERT INTO "moonwatch_health" VALUES('plaza',1780315200.0,'online','',1700000000.0);
CREATE TABLE moonwatch_media (
	reference TEXT NOT NULL, 
	record_id TEXT NOT NULL, 
	kept_at DOUBLE NOT NULL, 
	PRIMARY KEY (reference)
);
CREATE TABLE moonwatch_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "moonwatch_schema" VALUES(2);
CREATE TABLE moonwatch_undelivered (
	sink TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	record_id TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	attempts BIGINT NOT NULL, 
	kept_at DOUBLE NOT NULL, 
	PRIMARY KEY (sink, position)
);
CREATE INDEX ix_moonwatch_events_at ON moonwatch_events (at);
CREATE INDEX moonwatch_events_by_rule ON moonwatch_events (camera, rule, at);
CREATE INDEX ix_moonwatch_events_kept_at ON moonwatch_events (kept_at);
CREATE INDEX ix_moonwatch_media_record_id ON moonwatch_media (record_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('moonwatch_events',11);
COMMIT;
