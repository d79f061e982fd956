import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInfo;

import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.BillingMode;
import software.amazon.awssdk.services.dynamodb.model.PointInTimeRecoveryStatus;
import software.amazon.awssdk.services.dynamodb.model.TableDescription;
import software.amazon.awssdk.services.dynamodb.model.Tag;
import software.amazon.kinesis.common.DdbTableConfig;
import software.amazon.kinesis.leases.Lease;
import software.amazon.kinesis.leases.UpdateField;
import software.amazon.kinesis.leases.dynamodb.DynamoDBLeaseRefresher;
import software.amazon.kinesis.leases.dynamodb.DynamoDBLeaseSerializer;
import software.amazon.kinesis.leases.dynamodb.DynamoDBLeaseTaker;
import software.amazon.kinesis.leases.dynamodb.TableCreatorCallback;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.retrieval.kpl.ExtendedSequenceNumber;

/**
 * The lease table of the Kinesis Client Library 3: made, indexed, protected, and its leases created, taken, renewed,
 * checkpointed, handed over, evicted and deleted. Rows: docs/spec/dynamodb-api.md 2.5, 5, 6, 7.1, 7.4.
 */
class LeaseTableTest {
    private static Server server;
    private static DynamoDbAsyncClient client;
    private static ExecutorService threads;
    private String table;
    private DynamoDBLeaseRefresher leases;

    @BeforeAll
    static void start() throws Exception {
        server = new Server();
        client = server.client(DynamoDbAsyncClient.builder().httpClientBuilder(NettyNioAsyncHttpClient.builder()));
        threads = Executors.newFixedThreadPool(4);
    }

    @AfterAll
    static void stop() throws Exception {
        threads.shutdown();
        client.close();
        server.close();
    }

    @BeforeEach
    void makeTable(TestInfo test) throws Exception {
        table = "leases-" + test.getTestMethod().orElseThrow().getName();
        leases = leaseRefresher(true);
        assertFalse(leases.leaseTableExists());
        leases.createLeaseTableIfNotExists();
        assertTrue(leases.waitUntilLeaseTableExists(1, 30));
    }

    private DynamoDBLeaseRefresher leaseRefresher(boolean protect) {
        DdbTableConfig settings = new DdbTableConfig() {};
        settings.tableName(table).billingMode(BillingMode.PAY_PER_REQUEST);
        List<Tag> tags = List.of(Tag.builder().key("application").value("shop").build());
        return new DynamoDBLeaseRefresher(
                table, client, new DynamoDBLeaseSerializer(), true, TableCreatorCallback.NOOP_TABLE_CREATOR_CALLBACK,
                Duration.ofSeconds(30), settings, protect, protect, tags);
    }

    private static Lease lease(int number) {
        return new Lease(
                "shardId-" + number, null, 0L, null, null, ExtendedSequenceNumber.TRIM_HORIZON, null, 0L,
                number == 0 ? Set.of() : Set.of("shardId-0"), Set.of(), null, null);
    }

    private static Set<String> keys(List<Lease> found) {
        return new TreeSet<>(found.stream().map(Lease::leaseKey).toList());
    }

    @Test
    void theTableIsMadeOnceWithItsTagsProtectedAndBackedUp() throws Exception {
        leases.createLeaseTableIfNotExists();
        assertTrue(leases.leaseTableExists());
        TableDescription described = client.describeTable(asked -> asked.tableName(table)).join().table();
        assertEquals(BillingMode.PAY_PER_REQUEST, described.billingModeSummary().billingMode());
        assertTrue(described.deletionProtectionEnabled());
        assertEquals(
                PointInTimeRecoveryStatus.ENABLED,
                client.describeContinuousBackups(asked -> asked.tableName(table)).join()
                        .continuousBackupsDescription().pointInTimeRecoveryDescription().pointInTimeRecoveryStatus());
        assertEquals(
                List.of(Tag.builder().key("application").value("shop").build()),
                client.listTagsOfResource(asked -> asked.resourceArn(described.tableArn())).join().tags());
        assertEquals(leaseRefresher(false).getLeaseTableIdentifier(), leases.getLeaseTableIdentifier());
    }

    @Test
    void theIndexOfOwnersIsAddedToATableInUseAndFindsTheirLeases() throws Exception {
        for (int number = 0; number < 12; number += 1) {
            assertTrue(leases.createLeaseIfNotExists(lease(number)));
        }
        for (int number = 0; number < 5; number += 1) {
            assertTrue(leases.takeLease(leases.getLease("shardId-" + number), "worker-1"));
        }
        assertEquals("ACTIVE", madeIndex());
        assertTrue(leases.waitUntilLeaseOwnerToLeaseKeyIndexExists(1, 30));
        assertTrue(leases.isLeaseOwnerToLeaseKeyIndexActive());
        Set<String> five = new TreeSet<>(IntStream.range(0, 5).mapToObj(number -> "shardId-" + number).toList());
        assertEquals(five, new TreeSet<>(leases.listLeaseKeysForWorker("worker-1")));
        assertTrue(leases.assignLease(leases.getLease("shardId-0"), "worker-2"));
        assertEquals(List.of("shardId-0"), leases.listLeaseKeysForWorker("worker-2"));
        assertEquals(4, leases.listLeaseKeysForWorker("worker-1").size());
        assertEquals(List.of(), leases.listLeaseKeysForWorker("worker-3"));
    }

    /** Makes the index and waits for it: the library answers with the index's status at once. */
    private String madeIndex() throws Exception {
        leases.createLeaseOwnerToLeaseKeyIndexIfNotExists();
        leases.waitUntilLeaseOwnerToLeaseKeyIndexExists(1, 30);
        return leases.createLeaseOwnerToLeaseKeyIndexIfNotExists();
    }

    @Test
    void aLeaseIsHeldByOneWorkerAtATime() throws Exception {
        assertTrue(leases.isLeaseTableEmpty());
        assertTrue(leases.createLeaseIfNotExists(lease(0)));
        assertFalse(leases.createLeaseIfNotExists(lease(0)));
        assertFalse(leases.isLeaseTableEmpty());

        Lease seen = leases.getLease("shardId-0");
        Lease mine = leases.getLease("shardId-0");
        assertTrue(leases.takeLease(mine, "worker-1"));
        assertEquals("worker-1", leases.getLease("shardId-0").leaseOwner());
        assertFalse(leases.takeLease(seen, "worker-2"), "another has taken it since");
        assertTrue(leases.renewLease(mine));
        assertTrue(leases.renewLease(mine));
        assertEquals(mine.leaseCounter(), leases.getLease("shardId-0").leaseCounter());

        mine.checkpoint(new ExtendedSequenceNumber("49600", 3L));
        mine.concurrencyToken(UUID.randomUUID());
        assertTrue(leases.updateLease(mine));
        assertEquals(new ExtendedSequenceNumber("49600", 3L), leases.getCheckpoint("shardId-0"));
        mine.childShardIds(Set.of("shardId-7", "shardId-8"));
        leases.updateLeaseWithMetaInfo(mine, UpdateField.CHILD_SHARDS);
        Lease found = leases.getLease("shardId-0");
        assertEquals(Set.of("shardId-7", "shardId-8"), found.childShardIds());
        assertEquals(new ExtendedSequenceNumber("49600", 3L), found.checkpoint());

        assertTrue(leases.initiateGracefulLeaseHandoff(found, "worker-2"));
        Lease handed = leases.getLease("shardId-0");
        assertEquals("worker-2", handed.leaseOwner());
        assertEquals("worker-1", handed.checkpointOwner());
        assertTrue(leases.assignLease(handed, "worker-2"));
        assertNull(leases.getLease("shardId-0").checkpointOwner());
        assertFalse(leases.renewLease(mine), "it was handed over");

        assertTrue(leases.evictLease(leases.getLease("shardId-0")));
        assertNull(leases.getLease("shardId-0").leaseOwner());
        leases.deleteLease(leases.getLease("shardId-0"));
        assertNull(leases.getLease("shardId-0"));
    }

    @Test
    void manyLeasesAreListedInParallelSharedAndDeleted() throws Exception {
        Set<String> expected = new TreeSet<>();
        for (int number = 0; number < 60; number += 1) {
            leases.createLeaseIfNotExists(lease(number));
            expected.add("shardId-" + number);
        }
        assertEquals(expected, keys(leases.listLeases()));
        Map.Entry<List<Lease>, List<String>> listed = leases.listLeasesParallely(threads, 4);
        assertEquals(expected, keys(listed.getKey()));
        assertEquals(List.of(), listed.getValue(), "leases that could not be read");

        DynamoDBLeaseTaker one = new DynamoDBLeaseTaker(leases, "worker-1", 60_000, new NullMetricsFactory());
        DynamoDBLeaseTaker two = new DynamoDBLeaseTaker(leases, "worker-2", 60_000, new NullMetricsFactory());
        assertEquals(60, one.takeLeases().size());
        assertEquals(1, two.takeLeases().size(), "one lease is stolen at a time");
        assertEquals(59, leases.listLeases().stream().filter(lease -> "worker-1".equals(lease.leaseOwner())).count());
        leases.deleteAll();
        assertTrue(leases.isLeaseTableEmpty());
    }
}
