#!/usr/bin/env python3
"""The double of Kafka against two clients: python3-kafka, which shares no code with ours, and kcat, which is librdkafka.
SIGHTGLASS_TEST_KAFKA (host:port) names a real broker to run the same on; classes called …Fault… need the double."""
import base64
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import unittest
import uuid

import kafka
import kafka.admin
import kafka.errors

import double_process

PATIENT = {"api_version_auto_timeout_ms": 30000}  # for the first answer, on a busy machine


def kcat(address, *arguments, text="", check=True):
    done = subprocess.run(["kcat", "-b", address, *arguments], input=text, capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(done.stderr)
    return done


def eventually(holds, limit=40):
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Suite(unittest.TestCase):
    arguments = ["--partitions", "3"]

    def setUp(self):
        self.server = double_process.ServerUnderTest("KAFKA", "kafka_double.py", arguments=self.arguments)
        self.addCleanup(self.server.stop)
        self.address = self.server.url
        self.topic = f"sightglass-{uuid.uuid4().hex}"

    def make_topic(self, partitions=3, **configs):
        admin = kafka.KafkaAdminClient(bootstrap_servers=self.address, **PATIENT)
        admin.create_topics([kafka.admin.NewTopic(self.topic, partitions, 1, topic_configs=configs)], timeout_ms=10000)
        self.addCleanup(admin.close)
        return admin

    def producer(self, **options):
        producer = kafka.KafkaProducer(bootstrap_servers=self.address, **PATIENT, **options)
        self.addCleanup(producer.close, 1)
        return producer

    def consumer(self, group=None, **options):
        consumer = kafka.KafkaConsumer(self.topic, bootstrap_servers=self.address, group_id=group, auto_offset_reset="earliest", **PATIENT,
                                       consumer_timeout_ms=options.pop("wait", 20000), **options)
        self.addCleanup(consumer.close)
        return consumer

    def produce(self, count, **options):
        producer = self.producer(**options)
        sent = [producer.send(self.topic, b"value %d" % i, key=b"key %d" % (i % 7), headers=[("uuid", b"u%d" % i)]) for i in range(count)]
        return [future.get(20) for future in sent]


class Kafka(Suite):
    def test_records_come_back_with_key_headers_and_order(self):
        self.make_topic()
        self.produce(100)
        consumer = self.consumer()
        records = [next(consumer) for _ in range(100)]
        self.assertEqual({record.value for record in records}, {b"value %d" % i for i in range(100)})
        for key in {record.key for record in records}:
            numbers = [int(record.value.split()[1]) for record in records if record.key == key]
            self.assertEqual(numbers, sorted(numbers))
        self.assertTrue(all(record.headers == [("uuid", b"u" + record.value.split()[1])] for record in records))

    def test_both_clients_find_the_partition_of_a_key_alike(self):
        self.make_topic(7)
        self.produce(50)
        kcat(self.address, "-P", "-t", self.topic, "-K", "|", "-X", "partitioner=murmur2_random",
             text="".join(f"key {i % 7}|value {i}\n" for i in range(50)))
        lines = kcat(self.address, "-C", "-t", self.topic, "-e", "-q", "-f", "%p %k\n").stdout.splitlines()
        self.assertEqual(len(lines), 100)
        self.assertEqual(len(set(lines)), 7)

    def test_all_compressions_are_stored_as_given(self):
        self.make_topic(1)
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            kcat(self.address, "-P", "-t", self.topic, "-z", codec, text=f"{codec}\n" * 100)
        self.assertEqual(len(kcat(self.address, "-C", "-t", self.topic, "-e", "-q").stdout.splitlines()), 400)

    def test_an_idempotent_producer_is_served(self):
        self.make_topic()
        kcat(self.address, "-P", "-t", self.topic, "-X", "enable.idempotence=true", text="".join(f"{i}\n" for i in range(500)))
        lines = kcat(self.address, "-C", "-t", self.topic, "-e", "-q").stdout.split()
        self.assertEqual(sorted(map(int, lines)), list(range(500)))

    def test_topics_are_made_once_listed_grown_and_deleted(self):
        admin = self.make_topic(2)
        with self.assertRaises(kafka.errors.TopicAlreadyExistsError):
            admin.create_topics([kafka.admin.NewTopic(self.topic, 2, 1)])
        with self.assertRaises(kafka.errors.InvalidReplicationFactorError):
            admin.create_topics([kafka.admin.NewTopic(self.topic + "-x", 2, 100)])
        with self.assertRaises(kafka.errors.InvalidPartitionsError):
            admin.create_topics([kafka.admin.NewTopic(self.topic + "-x", 0, 1)])
        admin.create_partitions({self.topic: kafka.admin.NewPartitions(5)})
        described = json.loads(kcat(self.address, "-L", "-J", "-t", self.topic).stdout)
        self.assertEqual(len(described["topics"][0]["partitions"]), 5)
        admin.delete_topics([self.topic])
        self.assertNotIn(self.topic, kcat(self.address, "-L").stdout)

    def test_records_over_the_limit_of_the_topic_are_refused(self):
        self.make_topic(1, **{"max.message.bytes": "2000"})
        producer = self.producer()
        producer.send(self.topic, b"x" * 1000).get(20)
        with self.assertRaises(kafka.errors.MessageSizeTooLargeError):
            producer.send(self.topic, b"x" * 3000).get(20)

    def test_offsets_by_time_and_offsets_that_do_not_exist(self):
        self.make_topic(1)
        producer = self.producer()
        for i in range(10):
            producer.send(self.topic, b"%d" % i, timestamp_ms=1000 * i + 1).get(20)
        consumer = self.consumer()
        partition = kafka.TopicPartition(self.topic, 0)
        self.assertEqual(consumer.beginning_offsets([partition])[partition], 0)
        self.assertEqual(consumer.end_offsets([partition])[partition], 10)
        self.assertEqual(consumer.offsets_for_times({partition: 5000})[partition].offset, 5)
        gone = kcat(self.address, "-C", "-t", self.topic, "-p", "0", "-o", "50", "-X", "auto.offset.reset=error", "-e", check=False)
        self.assertIn("out of range", gone.stderr)

    def test_a_group_goes_on_where_it_was_and_shares_its_partitions(self):
        self.make_topic()
        self.produce(60)
        group = f"group-{self.topic}"
        first = self.consumer(group, enable_auto_commit=False)
        for _ in range(60):
            next(first)
        first.commit({kafka.TopicPartition(self.topic, i): kafka.OffsetAndMetadata(first.position(kafka.TopicPartition(self.topic, i)), f"note {i}")
                      for i in range(3)})
        first.close()
        self.produce(5)
        second = self.consumer(group, enable_auto_commit=False, heartbeat_interval_ms=200, session_timeout_ms=6000)
        self.assertEqual(len([next(second) for _ in range(5)]), 5)
        self.assertEqual(second.committed(kafka.TopicPartition(self.topic, 1), metadata=True).metadata, "note 1")
        # The client of Python waits in poll() for the others, so each has a thread.
        third = self.consumer(group, enable_auto_commit=False, heartbeat_interval_ms=200, session_timeout_ms=6000)
        shares, ends = {}, {second: threading.Event(), third: threading.Event()}

        def member(consumer):
            while not ends[consumer].is_set():
                consumer.poll(100)
                shares[consumer] = consumer.assignment()
            shares.pop(consumer)
            consumer.close()

        def shared(*counts):
            return sorted(map(len, list(shares.values()))) == sorted(counts) and len(set().union(*shares.values())) == 3

        threads = [threading.Thread(target=member, args=(consumer,), daemon=True) for consumer in (second, third)]
        for thread in threads:
            thread.start()
        self.assertTrue(eventually(lambda: shared(1, 2)))
        ends[third].set()
        self.assertTrue(eventually(lambda: shared(3)))
        ends[second].set()
        for thread in threads:
            thread.join(30)

    def test_the_cooperative_protocol_moves_single_partitions(self):
        self.make_topic()
        members = []
        try:
            for _ in range(2):
                members.append(subprocess.Popen(
                    ["kcat", "-b", self.address, "-G", f"group-{self.topic}", "-X", "partition.assignment.strategy=cooperative-sticky",
                     "-X", "heartbeat.interval.ms=200", self.topic], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
                self.wait_for(members[-1], "incremental assignment of")
            self.assertIn("revoke of 1 partition", self.wait_for(members[0], "revoke of 1 partition"))
        finally:
            for member in members:
                member.kill()
                member.communicate()

    def wait_for(self, process, word):
        text, deadline = b"", time.monotonic() + 30
        while word.encode() not in text and time.monotonic() < deadline:
            if select.select([process.stderr], [], [], 1)[0]:
                text += os.read(process.stderr.fileno(), 4096)
        return text.decode()

    def test_aborted_transactions_are_hidden_from_who_asks_for_committed_ones(self):
        self.make_topic(1)
        options = ("-P", "-t", self.topic, "-X", f"transactional.id={self.topic}")
        kcat(self.address, *options, text="committed\n")
        aborted = subprocess.Popen(["kcat", "-b", self.address, *options, "-X", "linger.ms=1"], stdin=subprocess.PIPE, text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        aborted.stdin.write("aborted\n" * 20000)  # it reads large parts
        aborted.stdin.flush()
        deadline = time.monotonic() + 30
        dirty = ""
        while "aborted" not in dirty and time.monotonic() < deadline:
            dirty = kcat(self.address, "-C", "-t", self.topic, "-e", "-q", "-X", "isolation.level=read_uncommitted").stdout
        self.assertIn("aborted", dirty)
        self.assertEqual(kcat(self.address, "-C", "-t", self.topic, "-e", "-q", "-X", "isolation.level=read_committed").stdout, "committed\n")
        aborted.send_signal(signal.SIGINT)
        aborted.communicate(timeout=30)
        kcat(self.address, *options, text="after\n")
        self.assertEqual(kcat(self.address, "-C", "-t", self.topic, "-e", "-q", "-X", "isolation.level=read_committed").stdout, "committed\nafter\n")


class Access(unittest.TestCase):
    user = {"sasl_plain_username": "ann", "sasl_plain_password": "s e,=cret"}

    def test_passwords_are_asked_for(self):
        with double_process.Process.script("kafka_double.py", "--sasl", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "--user", "ann",
                                           "--password", "s e,=cret") as server:
            for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
                with self.subTest(mechanism):
                    options = {"bootstrap_servers": server.address, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism,
                               "api_version": (2, 3, 0)}
                    producer = kafka.KafkaProducer(**options, **self.user)
                    producer.send("frames", b"x").get(20)
                    producer.close()
                    with self.assertRaises(kafka.errors.KafkaError):
                        kafka.KafkaProducer(**options, sasl_plain_username="ann", sasl_plain_password="wrong", max_block_ms=2000).send("frames", b"x")
                    sasl = ("-X", "security.protocol=sasl_plaintext", "-X", f"sasl.mechanism={mechanism}", "-X", "sasl.username=ann")
                    self.assertIn("frames", kcat(server.address, "-L", *sasl, "-X", "sasl.password=s e,=cret").stdout)
                    self.assertNotEqual(kcat(server.address, "-L", "-m", "2", *sasl, "-X", "sasl.password=wrong", check=False).returncode, 0)
            self.assertNotEqual(kcat(server.address, "-L", "-m", "2", check=False).returncode, 0)

    def test_speaks_tls_and_can_ask_for_a_certificate(self):
        with double_process.Certificates() as files:
            with double_process.Process.script("kafka_double.py", *files.server_arguments(ask_for_client=True)) as server:
                producer = kafka.KafkaProducer(bootstrap_servers=server.address, security_protocol="SSL", ssl_cafile=files.path("ca.pem"),
                                               ssl_certfile=files.path("client.pem"), ssl_keyfile=files.path("client.key"))
                producer.send("frames", b"x").get(20)
                producer.close()
                tls = ("-X", "security.protocol=ssl", "-X", f"ssl.certificate.location={files.path('client.pem')}",
                       "-X", f"ssl.key.location={files.path('client.key')}")
                self.assertEqual(kcat(server.address, "-C", "-t", "frames", "-e", "-q", *tls, "-X", f"ssl.ca.location={files.path('ca.pem')}").stdout, "x\n")
                wrong = kcat(server.address, "-L", "-m", "3", *tls, "-X", f"ssl.ca.location={files.path('other-ca.pem')}", check=False)
                self.assertNotEqual(wrong.returncode, 0)

    def test_topics_and_groups_are_denied(self):
        with double_process.Process.script("kafka_double.py") as server:
            kcat(server.address, "-P", "-t", "secret", text="x\n")
            server.control("deny", {"topics": ["secret"], "groups": ["them"]})
            self.assertIn("authorization failed", kcat(server.address, "-P", "-t", "secret", text="x\n", check=False).stderr)
            self.assertNotIn("secret", kcat(server.address, "-L").stdout)
            self.assertIn("authorization failed", kcat(server.address, "-G", "them", "-e", "frames", check=False).stderr)

    def test_without_auto_creation_unknown_topics_stay_unknown(self):
        with double_process.Process.script("kafka_double.py", "--no-auto-create") as server:
            self.assertIn("Unknown topic", kcat(server.address, "-P", "-t", "frames", "-X", "topic.metadata.propagation.max.ms=500", text="x\n", check=False).stderr)
            self.assertEqual(server.control("topics"), {})


class Fault(Suite):
    arguments = []

    def setUp(self):
        super().setUp()
        if self.server.real:
            self.skipTest("fault: only on the double")

    def values(self):
        return [base64.b64decode(record["value"]).decode() for record in self.server.control("records", {"topic": self.topic})["records"]]

    def test_partitions_refuse_with_any_code(self):
        self.server.control("faults", {"rules": [{"fault": "29", "contains": self.topic}]})
        with self.assertRaises(kafka.errors.TopicAuthorizationFailedError):
            self.produce(1, retries=0)
        self.server.control("faults", {"rules": [{"fault": "19", "count": 2}]})  # not enough replicas, twice
        self.produce(1, retries=5)
        self.assertEqual(self.values(), ["value 0"])

    def test_an_idempotent_producer_repeats_what_was_lost_and_it_is_stored_once(self):
        for fault in ("cut_before", "cut_after", "truncated"):
            self.server.control("faults", {"rules": [{"fault": fault, "scope": "request", "contains": f"Produce {self.topic}", "count": 2}]})
            text = "".join(f"{fault} {i}\n" for i in range(100))
            kcat(self.address, "-P", "-t", self.topic, "-X", "enable.idempotence=true", "-X", "batch.num.messages=10", "-q", "-E",
                 text=text)
            self.assertEqual(len(self.server.control("injected")[fault]), 2)
            self.assertEqual([value for value in self.values() if value.startswith(fault)], text.splitlines())

    def test_what_retention_removed_is_out_of_range(self):
        self.produce(20)
        self.server.control("retention", {"topic": self.topic, "offset": 15})
        consumer = self.consumer()
        self.assertEqual(next(consumer).offset, 15)
        gone = kcat(self.address, "-C", "-t", self.topic, "-p", "0", "-o", "3", "-X", "auto.offset.reset=error", "-e", check=False)
        self.assertIn("out of range", gone.stderr)

    def test_a_truncated_log_gives_its_offsets_to_others_under_a_new_leader(self):
        for first in (0, 10):
            kcat(self.address, "-P", "-t", self.topic, text="".join(f"value {i}\n" for i in range(first, first + 10)))
        self.server.control("truncate", {"topic": self.topic, "offset": 10})
        self.assertEqual(self.values(), [f"value {i}" for i in range(10)])
        kcat(self.address, "-P", "-t", self.topic, text="other\n")
        consumer = self.consumer()
        records = [next(consumer) for _ in range(11)]
        self.assertEqual([(record.offset, record.value) for record in records[9:]], [(9, b"value 9"), (10, b"other")])

    def test_answers_lack_the_first_batch_as_often_as_wanted(self):
        for first in (0, 10):
            kcat(self.address, "-P", "-t", self.topic, text="".join(f"value {i}\n" for i in range(first, first + 10)))
        self.server.control("omit", {"topic": self.topic, "times": 1})
        self.assertEqual(next(self.consumer()).offset, 10)
        self.assertEqual(next(self.consumer()).offset, 0)

    def test_a_batch_is_damaged_for_good(self):
        for first in (0, 10, 20):
            kcat(self.address, "-P", "-t", self.topic, text="".join(f"value {i}\n" for i in range(first, first + 10)))
        self.server.control("damage", {"topic": self.topic, "offset": 13})
        consumer = self.consumer()
        with self.assertRaises(kafka.errors.CorruptRecordException):
            for _ in range(30):
                next(consumer)

    def test_silent_members_leave_and_forced_rebalances_bring_the_others_back(self):
        self.produce(1)
        consumer = self.consumer("group", session_timeout_ms=10000, heartbeat_interval_ms=200, max_poll_interval_ms=300000)
        next(consumer)
        before = self.server.control("groups")["group"]
        self.server.control("rebalance", {"group": "group"})
        deadline = time.monotonic() + 30
        while self.server.control("groups")["group"]["generation"] == before["generation"] and time.monotonic() < deadline:
            consumer.poll(100)
        self.assertEqual(list(self.server.control("groups")["group"]["members"]), list(before["members"]))
        dead = subprocess.Popen([sys.executable, "-c", f"import kafka; c = kafka.KafkaConsumer({self.topic!r}, bootstrap_servers={self.address!r}, "
                                 "group_id='other', session_timeout_ms=1000, heartbeat_interval_ms=200)\nwhile True: c.poll(100)"])
        while not self.server.control("groups").get("other", {}).get("members") and time.monotonic() < deadline:
            time.sleep(0.05)
        dead.kill()
        dead.wait()
        while self.server.control("groups")["other"]["members"] and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.server.control("groups")["other"]["state"], "empty")

    def test_a_static_member_comes_back_without_a_rebalance(self):
        self.produce(2)

        def member():  # kcat commits what it showed
            return kcat(self.address, "-G", "static", "-c", "1", "-X", "group.instance.id=one", "-X", "auto.offset.reset=earliest",
                        self.topic).stdout
        self.assertEqual(member(), "value 0\n")
        generation = self.server.control("groups")["static"]["generation"]
        self.assertEqual(member(), "value 1\n")
        self.assertEqual(self.server.control("groups")["static"]["generation"], generation)

    def test_clients_stay_behind_the_proxy_that_is_advertised(self):
        with double_process.Process.script("fault_proxy.py", "--to", self.server.process.address) as proxy:
            self.server.control("settings", {"advertise": proxy.address})
            kcat(proxy.address, "-P", "-t", self.topic, text="x\n")
            self.assertGreater(proxy.control("state")["connections"], 0)
            self.assertEqual(self.values(), ["x"])


class Restart(unittest.TestCase):
    def test_what_was_acknowledged_survives_being_killed(self):
        with double_process.Folder() as folder, double_process.Process.script(
                "kafka_double.py", "--partitions", "2", "--data", f"{folder}/data") as server:
            kcat(server.address, "-P", "-t", "frames", "-p", "1", "-X", "enable.idempotence=true", text="a\nb\nc\n")
            self.assertEqual(kcat(server.address, "-G", "group", "-c", "2", "-X", "auto.offset.reset=earliest", "frames").stdout, "a\nb\n")
            server.kill()
            server.restart()
            self.assertEqual(server.control("topics")["frames"]["end"], [0, 3])
            kcat(server.address, "-P", "-t", "frames", "-p", "1", "-X", "enable.idempotence=true", text="d\n")
            self.assertEqual(kcat(server.address, "-G", "group", "-c", "2", "frames").stdout, "c\nd\n")


if __name__ == "__main__":
    unittest.main()
