import java.nio.file.Path;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;

/** A Neo4j for the tests, as long as standard input stays open: java -cp 'lib/*' Server.java HOME CONF. */
public class Server {
    public static void main(String[] args) throws Exception {
        new DatabaseManagementServiceBuilder(Path.of(args[0]))
                .loadPropertiesFromFile(Path.of(args[1]))
                .build();
        // Whoever started us holds the other end: when it closes it, or dies, we end too.
        while (System.in.read() >= 0) {}
        Runtime.getRuntime().halt(0); // the files are the tests' own: nothing to save
    }
}
